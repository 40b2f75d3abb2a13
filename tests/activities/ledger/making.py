"""Alerts, workloads and records as the tests of the ledger need them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from activities.contracts.incident import IncidentEvent, IncidentSnapshot, RecordIncident
from activities.ledger.ledger import Ledger
from playbooks.alerts import Alert, ReceivedAlert
from segmentation.workloads import Workload

START = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
_numbers = count(1)
Result = TypeVar("Result")


def alert(host: str | None = "web", *, severity: int = 70, rule: str = "Denied again and again", **more: Any) -> Alert:
    said: dict[str, Any] = {"rule": {"name": rule}, "event": {"severity": severity}}
    said |= {"host": {"name": host}} if host else {}
    return Alert.model_validate(said | more)


def received(of: Alert | None = None, *, webhook_id: str | None = None, at: datetime | None = None) -> ReceivedAlert:
    number = next(_numbers)
    moment = at or START + timedelta(milliseconds=number)
    return ReceivedAlert(
        webhook_id=webhook_id or f"msg_{number}",
        source="siem",
        signed=True,
        received_at=moment,
        alert=of or alert(),
    )


def workload(name: str = "web", *, host_id: str | None = None, addresses: tuple[str, ...] = ()) -> Workload:
    return Workload.model_validate({"workload_id": host_id or f"id-{name}", "name": name, "addresses": addresses})


def snapshot(incident_id: str, **changed: Any) -> IncidentSnapshot:
    first = received(at=START)
    said: dict[str, Any] = {
        "incident_id": incident_id,
        "correlation_key": f"host:{incident_id}",
        "title": first.alert.rule.name,
        "stage": "contain",
        "severity": 70,
        "playbook": "lateral-movement",
        "alerts": 1,
        "first_alert": first,
        "opened_at": START,
        "updated_at": START,
    }
    return IncidentSnapshot.model_validate(said | changed)


def happened(summary: str, **changed: Any) -> IncidentEvent:
    said = {
        "at": START,
        "stage": "contain",
        "kind": "target-isolated",
        "actor": "agent:web",
        "summary": summary,
    }
    return IncidentEvent.model_validate(said | changed)


def record(incident_id: str, sequence: int, *summaries: str, **changed: Any) -> RecordIncident:
    events = tuple(happened(summary) for summary in summaries)
    return RecordIncident(sequence=sequence, snapshot=snapshot(incident_id, **changed), events=events)


def close_incident(ledger: Ledger, incident_id: str, sequence: int = 1_000) -> None:
    found = ledger.incidents.incident(incident_id)
    assert found is not None
    closed = found.model_copy(update={"stage": "closed", "status": "closed"})
    ledger.incidents.record(RecordIncident(sequence=sequence, snapshot=closed, events=()))


def at_once(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs in threads that begin together."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    barrier = Barrier(len(jobs))

    def run(job: Callable[[], Result]) -> Result:
        barrier.wait(timeout=10)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))
