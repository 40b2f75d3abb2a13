"""Activities of the ledger: what workflows write down, and what they ask.

Owns `record_incident` and `read_stop`. Decides nothing; a retry writes nothing twice.
"""

from collections.abc import Callable

from temporalio import activity

from activities.contracts.incident import IncidentEvent, IncidentSnapshot, ReadStop, RecordIncident, StopState
from activities.ledger.ledger import Ledger

Notify = Callable[[IncidentSnapshot, tuple[IncidentEvent, ...]], object]


class Recording:
    """Writes to the ledger, then tells the SIEM (`notify`, which never raises)."""

    def __init__(self, ledger: Ledger, notify: Notify) -> None:
        self._ledger = ledger
        self._notify = notify

    @activity.defn(name="record_incident")
    def record_incident(self, record: RecordIncident) -> None:
        """Replace the projection of an incident and append its events to the audit chain."""
        self._ledger.incidents.record(record)
        self._notify(record.snapshot, record.events)

    @activity.defn(name="read_stop")
    def read_stop(self, _: ReadStop) -> StopState:
        """Whether the global stop is on, right now."""
        return self._ledger.stop.read()
