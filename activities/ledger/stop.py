"""The global stop: while it is on, nothing is contained that no person has approved.

Owns its state and that every change of it stands in the audit chain, in the same transaction. What it stops is said
by whoever asks.

    ledger.stop.set(actor="user:ana", reason="the SIEM is mistaken", now=now)
    ledger.stop.read().restraint   # -> "the global stop is on since ... by user:ana: the SIEM is mistaken"
"""

from datetime import datetime

from sqlalchemy import Connection

from activities.contracts.incident import StopState
from activities.ledger.audit import AuditChain, AuditEntry
from activities.ledger.database import Database
from activities.ledger.state import read_state, write_state

KEY = "global_stop"


class GlobalStop:
    """The stop's room of the ledger."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database = database
        self._audit = audit

    def read(self) -> StopState:
        """Where it stands."""
        with self._database.read() as connection:
            return _read(connection)

    def set(self, *, actor: str, reason: str, now: datetime) -> StopState:
        """Switch it on; one that is on already stays as it is, and that it was wanted again is written down too."""
        with self._database.write() as connection:
            self._database.lock(connection, KEY)
            before = _read(connection)
            state = before if before.on else StopState(on=True, since=now, actor=actor, reason=reason)
            write_state(connection, KEY, state.model_dump_json())
            body = {"reason": reason, "was_on": before.on}
            self._audit.append_within(connection, [AuditEntry(kind="stop-on", actor=actor, body=body)])
        return state

    def lift(self, *, actor: str, reason: str) -> StopState:
        """Switch it off; returns what it was."""
        with self._database.write() as connection:
            self._database.lock(connection, KEY)
            before = _read(connection)
            write_state(connection, KEY, "")
            body = {"reason": reason, "was": before.model_dump(mode="json")}
            self._audit.append_within(connection, [AuditEntry(kind="stop-off", actor=actor, body=body)])
        return before


def _read(connection: Connection) -> StopState:
    kept = read_state(connection, KEY)
    return StopState.model_validate_json(kept) if kept else StopState()
