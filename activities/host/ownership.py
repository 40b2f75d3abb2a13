"""Which changes are ours to make: those of one incident's own table on this host, and no others.

Owns the check of a change that an order brought along. Pure.

    check_own(order.change)    # raises ForeignChange
"""

from typing import ClassVar

from playbooks.host_isolation import HostChange, table_name
from playbooks.nftables import NftCommand
from segmentation.errors import FirebreakError


class ForeignChange(FirebreakError):
    """A change that would touch what is not ours, or another host."""

    code: ClassVar[str] = "foreign-change"


def check_own(change: HostChange) -> None:
    """An order can't make us touch another table, however it is signed."""
    tables = {_table_of(command) for command in (*change.commands, *change.undo)}
    if change.table != table_name(change.incident_id) or not tables <= {change.table}:
        raise ForeignChange(
            f"The change of incident {change.incident_id} touches {', '.join(sorted(tables))}; "
            f"only {table_name(change.incident_id)} is its own.",
        )


def _table_of(command: NftCommand) -> str:
    """The table that a command is about; anything but adding and deleting has no place here."""
    verb, objects = next(iter(command.items()))
    kind, body = next(iter(objects.items()))
    if len(command) != 1 or len(objects) != 1 or verb not in ("add", "delete") or not isinstance(body, dict):
        return f"everything ({verb} {kind})"
    return str(body.get("name" if kind == "table" else "table"))
