"""How an incident stands in its table: the snapshot, and the columns that lists are filtered by.

Owns writing both together, so that they never disagree. An incident that intake opened has a snapshot from
its first alert on; the workflow replaces it.
"""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from activities.contracts.incident import IncidentSnapshot
from activities.ledger.correlation import incident_id, without_nul
from activities.ledger.tables import incident_hosts, incidents
from playbooks.alerts import ReceivedAlert

WAITING_FOR_WORKFLOW = "the workflow to start"


def open_incident(connection: Connection, key: str, received: ReceivedAlert, *, alerts: int) -> str:
    """Insert the next incident of a key; the caller holds the key's lock."""
    ordinal = next_ordinal(connection, key)
    found = incident_id(key, ordinal)
    snapshot = _first_snapshot(found, key, received)
    counted = {"correlation_key": key, "ordinal": ordinal, "alerts": alerts, "started": False, "sequence": 0}
    connection.execute(insert(incidents), {"incident_id": found, "status": "open"} | counted | columns(snapshot))
    _insert_hosts(connection, snapshot)
    return found


def next_ordinal(connection: Connection, key: str) -> int:
    """One more than the incidents that the key has had."""
    last = connection.execute(select(func.max(incidents.c.ordinal)).where(incidents.c.correlation_key == key)).scalar()
    return (last or 0) + 1


def columns(snapshot: IncidentSnapshot) -> dict[str, Any]:
    """What a snapshot says, as columns; status, count and place are kept by their own rules."""
    return {
        "stage": snapshot.stage,
        "severity": snapshot.severity,
        "search": _search(snapshot),
        "opened_at": snapshot.opened_at,
        "updated_at": snapshot.updated_at,
        "snapshot": snapshot.model_dump_json(),
    }


def write_hosts(connection: Connection, snapshot: IncidentSnapshot) -> None:
    """Replace the hosts that the incident is found by."""
    connection.execute(delete(incident_hosts).where(incident_hosts.c.incident_id == snapshot.incident_id))
    _insert_hosts(connection, snapshot)


def _insert_hosts(connection: Connection, snapshot: IncidentSnapshot) -> None:
    rows = [{"incident_id": snapshot.incident_id, "host": host[:256]} for host in _hosts(snapshot)]
    if rows:
        connection.execute(insert(incident_hosts), rows)


def read(row: Row[Any]) -> IncidentSnapshot:
    """The snapshot, with what intake knows better: the count of alerts, and that a workflow ended unsaid."""
    snapshot = IncidentSnapshot.model_validate_json(row.snapshot)
    changed: dict[str, Any] = {"updated_at": row.updated_at}
    if row.alerts:
        changed["alerts"] = row.alerts
    if row.status == "closed" and snapshot.status == "open":
        changed |= {"status": "closed", "waiting_for": ""}
    return snapshot.model_copy(update=changed)


def _first_snapshot(found: str, key: str, received: ReceivedAlert) -> IncidentSnapshot:
    return IncidentSnapshot(
        incident_id=found,
        correlation_key=key,
        title=received.alert.rule.name,
        stage="detect",
        severity=received.alert.event.severity,
        playbook=None,
        waiting_for=WAITING_FOR_WORKFLOW,
        alerts=1,
        first_alert=received,
        opened_at=received.received_at,
        updated_at=received.received_at,
    )


def _hosts(snapshot: IncidentSnapshot) -> set[str]:
    host = snapshot.first_alert.alert.host
    names = [host.name, host.id, *map(str, host.ip)]
    for target in snapshot.targets:
        names += [target.workload.name, target.workload.workload_id, *map(str, target.workload.addresses)]
    return {without_nul(name.lower()) for name in names if name}


def _search(snapshot: IncidentSnapshot) -> str:
    alert = snapshot.first_alert.alert
    said = (
        snapshot.incident_id,
        snapshot.title,
        snapshot.correlation_key,
        snapshot.playbook,
        alert.rule.name,
    )
    words = [*said, alert.message, alert.event.reason, snapshot.waiting_for, *sorted(_hosts(snapshot))]
    return without_nul("\n".join(word.lower() for word in words if word))
