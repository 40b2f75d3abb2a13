"""Telling the SIEM: every event of an incident is also a document there.

Owns the shape of these documents (ECS, with the OCSF class of an incident) and their shipping. The ledger is
the record; what the SIEM holds is for analysts to correlate, so a SIEM that is away costs its copy and
nothing else. Never raises for it.

    ship_events(siem, snapshot, events)   # -> 12, how many of them the SIEM holds now

Permissions: `create_doc` on the incidents' index.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from elasticsearch.exceptions import SerializationError

from activities.contracts.incident import IncidentEvent, IncidentSnapshot
from activities.siem.templates import INCIDENTS
from playbooks.canonical import digest

log = structlog.get_logger(__name__)

SHIP_SECONDS = 5.0
MAX_EVENTS = 500
_CREATED, _CONFLICT = 201, 409


def ship_events(
    client: Elasticsearch | None,
    snapshot: IncidentSnapshot,
    events: Sequence[IncidentEvent],
    index: str = INCIDENTS,
) -> int:
    """Write events as documents; returns how many the SIEM holds. An event shipped twice is one document.

    Takes at most `SHIP_SECONDS` and the first `MAX_EVENTS` events; what is left out or refused is logged.
    """
    if client is None or not events:
        return 0
    operations = [line for event in events[:MAX_EVENTS] for line in _operation(index, snapshot, event)]
    try:
        answer = client.options(request_timeout=SHIP_SECONDS).bulk(operations=operations)
    except (ApiError, TransportError, SerializationError) as error:
        _tell(snapshot, len(events), str(error))
        return 0
    results = [item["create"] for item in answer["items"]]
    held = sum(result["status"] in {_CREATED, _CONFLICT} for result in results)
    if held < len(events):
        refused = next((str(result["error"]) for result in results if result["status"] > _CONFLICT), "")
        _tell(snapshot, len(events) - held, refused or f"more than {MAX_EVENTS} at once, or refused")
    return held


def document(snapshot: IncidentSnapshot, event: IncidentEvent) -> dict[str, Any]:
    """One event as an ECS document."""
    role, _, name = event.actor.partition(":")
    return {
        "@timestamp": event.at.astimezone(UTC).isoformat(),
        "ecs": {"version": "8.11.0"},
        "event": {
            "kind": "event",
            "category": ["intrusion_detection", "network"],
            "type": ["info"],
            "module": "firebreak",
            "dataset": "firebreak.incident",
            "provider": "firebreak",
            "action": event.kind,
            "severity": snapshot.severity,
        },
        "message": event.summary,
        "rule": {"name": snapshot.first_alert.alert.rule.name},
        "host": {"name": [target.workload.name for target in snapshot.targets]},
        **({"user": {"name": name}} if role == "user" else {}),
        # Incident Finding: https://schema.ocsf.io/classes/incident_finding
        "ocsf": {"class_uid": 2005, "class_name": "Incident Finding", "activity_id": 2},
        "firebreak": {
            "incident_id": snapshot.incident_id,
            "correlation_key": snapshot.correlation_key,
            "stage": event.stage,
            "actor": event.actor,
            "playbook": snapshot.playbook,
            "details": event.details,
        },
    }


def _operation(index: str, snapshot: IncidentSnapshot, event: IncidentEvent) -> list[dict[str, Any]]:
    # The id is made from the content: a repeated shipment finds its own document, and `create` leaves it be.
    identity = digest({"incident": snapshot.incident_id, "event": event.model_dump(mode="json")})
    return [
        {"create": {"_index": index, "_id": identity.removeprefix("sha256:")[:32]}},
        document(snapshot, event),
    ]


def _tell(snapshot: IncidentSnapshot, missing: int, reason: str) -> None:
    log.warning("the SIEM did not take events", incident_id=snapshot.incident_id, missing=missing, reason=reason[:500])
