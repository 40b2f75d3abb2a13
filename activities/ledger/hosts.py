"""Hosts that have joined: their workload, their key, when they were last heard.

Owns the inventory that alerts are resolved against. A host's key is pinned by its first joining; only an
administrator who forgets the host can let another key in. Never holds a private key.
"""

from datetime import UTC, datetime

from pydantic import AwareDatetime
from sqlalchemy import Connection, delete, func, insert, select, update

from activities.ledger.database import Database
from activities.ledger.errors import HostKeyConflict
from activities.ledger.state import read_state, write_state
from activities.ledger.tables import hosts
from segmentation.workloads import Frozen, Inventory, Workload

VERSION = "hosts_version"


class HostEntry(Frozen):
    """A joined host as operators see it."""

    workload: Workload
    joined_at: AwareDatetime
    last_seen: AwareDatetime | None


class Hosts:
    """The hosts' room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: tuple[str, Inventory] = ("", Inventory())

    def join(self, workload: Workload, public_key: bytes) -> None:
        """Take in a host, or renew what is known of it.

        Raises:
            HostKeyConflict: the id is pinned to another key, or the name belongs to another host.
        """
        with self._database.write() as connection:
            self.join_within(connection, workload, public_key)

    def join_within(self, connection: Connection, workload: Workload, public_key: bytes) -> None:
        """`join` as part of a transaction."""
        self._database.lock(connection, "hosts")
        _refuse_takeover(connection, workload, public_key)
        now = datetime.now(UTC)
        known = {"name": workload.name.lower(), "document": workload.model_dump_json(), "last_seen": now}
        changed = connection.execute(update(hosts).where(hosts.c.host_id == workload.workload_id).values(known))
        if changed.rowcount == 0:
            new = {"host_id": workload.workload_id, "public_key": public_key, "joined_at": now}
            connection.execute(insert(hosts).values(known | new))
        _bump(connection)

    def forget(self, host_id: str) -> bool:
        """Drop a host and its pinned key; whether it was known."""
        with self._database.write() as connection:
            gone = connection.execute(delete(hosts).where(hosts.c.host_id == host_id)).rowcount
            _bump(connection)
        return gone > 0

    def hosts(self) -> Inventory:
        """Every workload with an agent."""
        with self._database.read() as connection:
            return self.inventory_within(connection)

    def inventory_within(self, connection: Connection) -> Inventory:
        """`hosts` as part of a transaction; read again only when a host joined or left."""
        version = read_state(connection, VERSION)
        cached_version, inventory = self._cached
        if version != cached_version:
            rows = connection.execute(select(hosts.c.document).order_by(hosts.c.host_id)).scalars()
            inventory = Inventory(workloads=tuple(Workload.model_validate_json(row) for row in rows))
            self._cached = (version, inventory)
        return inventory

    def entries(self) -> list[HostEntry]:
        """Every host with its times."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(hosts.c.document, hosts.c.joined_at, hosts.c.last_seen).order_by(hosts.c.name)
            ).all()
        return [
            HostEntry(workload=Workload.model_validate_json(document), joined_at=joined, last_seen=seen)
            for document, joined, seen in rows
        ]

    def public_key(self, host_id: str) -> bytes | None:
        """The key that was pinned when the host joined."""
        with self._database.read() as connection:
            found = connection.execute(select(hosts.c.public_key).where(hosts.c.host_id == host_id)).scalar()
        return bytes(found) if found is not None else None

    def seen(self, host_id: str, at: datetime) -> None:
        """Note that the host was heard."""
        with self._database.write() as connection:
            connection.execute(update(hosts).where(hosts.c.host_id == host_id).values(last_seen=at))


def _refuse_takeover(connection: Connection, workload: Workload, public_key: bytes) -> None:
    pinned = connection.execute(
        select(hosts.c.public_key).where(hosts.c.host_id == workload.workload_id).with_for_update()
    ).scalar()
    if pinned is not None and bytes(pinned) != public_key:
        raise HostKeyConflict(
            f"Host {workload.workload_id} ({workload.name}) is known with another key.",
            hint="If it was set up anew, an administrator forgets it first: firebreak hosts forget.",
        )
    # Two hosts of one name would make every alert on that name ambiguous, and an ambiguous alert contains
    # nobody.
    other = connection.execute(
        select(hosts.c.host_id).where(
            func.lower(hosts.c.name) == workload.name.lower(), hosts.c.host_id != workload.workload_id
        )
    ).scalar()
    if other is not None:
        raise HostKeyConflict(
            f"The name {workload.name} belongs to host {other}; {workload.workload_id} wants it too.",
            hint="Give it another name, or forget the old host: firebreak hosts forget.",
        )


def _bump(connection: Connection) -> None:
    write_state(connection, VERSION, str(int(read_state(connection, VERSION) or "0") + 1))
