"""Small values the ledger keeps about itself: the head of the audit chain, the version of the host list."""

from sqlalchemy import Connection, insert, select, update

from activities.ledger.tables import ledger_state


def read_state(connection: Connection, key: str) -> str:
    """The value, or nothing as an empty text."""
    return connection.execute(select(ledger_state.c.value).where(ledger_state.c.key == key)).scalar() or ""


def write_state(connection: Connection, key: str, value: str) -> None:
    """Set the value; the caller holds a lock that orders writers."""
    changed = connection.execute(update(ledger_state).where(ledger_state.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(ledger_state).values(key=key, value=value))
