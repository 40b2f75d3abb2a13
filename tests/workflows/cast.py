"""Who plays in the workflows' tests: three hosts, an alert that accuses one of them, playbooks."""

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from activities.contracts.host import ProcessRef
from activities.contracts.incident import AlertBatch, IncidentStart
from activities.contracts.response import ContainStart
from playbooks.alerts import ReceivedAlert
from playbooks.gates import GateSpec
from playbooks.host_isolation import IsolationIntent, LifelineEndpoint
from playbooks.playbook import Playbook
from segmentation.workloads import Workload

LIFELINE = (LifelineEndpoint(purpose="temporal", address=ip_address("10.99.0.1"), port=7233),)
LAST_OCTET = {"web": 11, "app": 12, "db": 13}
INTRUDER = ProcessRef(pid=4711, pgid=4711, start_ticks=123456, executable="/opt/x", command=("/opt/x", "-q"))
GATE = GateSpec(roles=("approver",), deadline_seconds=600)
RECEIVED = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)


def workload(name: str, mark: str = "", **labels: str) -> Workload:
    """A host; `mark` keeps the queues of different tests apart."""
    octet = LAST_OCTET[name]
    return Workload(
        workload_id=f"{name}-{mark}" if mark else name,
        name=name,
        labels={"app": "shop", **labels},
        addresses=(ip_address(f"10.77.0.{octet}"), ip_address(f"fd77::{octet}")),
        tcp_ports=(8000,),
    )


def received(*, signed: bool = True) -> ReceivedAlert:
    """The alert that opens the incidents here: web was denied on its way to db."""
    return ReceivedAlert.model_validate(
        {
            "webhook_id": "msg-1",
            "source": "siem",
            "signed": signed,
            "received_at": RECEIVED,
            "alert": {
                "event": {"severity": 73},
                "rule": {"name": "Repeated denied connections"},
                "host": {"name": "web"},
                "source": {"ip": "10.77.0.11"},
                "destination": {"ip": "10.77.0.13", "port": 5432},
            },
        }
    )


def batch(*ids: int, signed: bool = True) -> AlertBatch:
    """Alerts as the dispatcher hands them over."""
    return AlertBatch(ids=ids, first=received(signed=signed), last_received_at=RECEIVED)


def playbook(**sections: Any) -> Playbook:
    """Contain at once, collect little, repair nothing, release by a person; `sections` say what differs."""
    plain: dict[str, Any] = {
        "name": "test",
        "title": "A playbook of the tests",
        "match": {"rules": ["*"]},
        "contain": {"lease": {"ttl_seconds": 900, "max_seconds": 3600}},
        "forensics": {"capture_seconds": 1, "collect": ["sockets", "processes"]},
    }
    return Playbook.model_validate(plain | sections)


def incident_start(incident_id: str, hosts: dict[str, Workload], **changes: Any) -> IncidentStart:
    """An incident about web, with everybody else as witness."""
    plain = IncidentStart(
        incident_id=incident_id,
        correlation_key=f"host:{incident_id}",
        alerts=batch(1),
        playbook=playbook(),
        targets=(hosts["web"],),
        witnesses=tuple(hosts.values()),
        lifeline=LIFELINE,
        siem_configured=True,
    )
    return plain.model_copy(update=changes)


def contain_start(incident_id: str, hosts: dict[str, Workload], **changes: Any) -> ContainStart:
    """A containment of web behind a gate, without an incident around it."""
    plain = ContainStart(
        incident_id=incident_id,
        target=hosts["web"],
        witnesses=(hosts["app"], hosts["db"]),
        intent=IsolationIntent(
            incident_id=incident_id,
            host_id=hosts["web"].workload_id,
            lifeline=LIFELINE,
            lease_seconds=900,
            ends="open",
        ),
        contain=playbook().contain,
        gate=GATE,
    )
    return plain.model_copy(update=changes)


def host_intent(start: ContainStart) -> IsolationIntent:
    """The intent of a containment, which is of a host."""
    assert isinstance(start.intent, IsolationIntent)
    return start.intent
