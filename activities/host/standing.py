"""What stands on this host by our doing, as its journal remembers it.

Owns the record of each containment: what stood before the first order, what was applied, how long it may stand. It is
written before anything changes, so that whoever comes after a crash, a lost answer or a reboot finds it. Never touches
the ruleset.

    standings = Standings(journal)
    standings.keep(Standing(...)); standings.find("firebreak_inc_1"); standings.drop("firebreak_inc_1")
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from activities.orders.journal import OrderJournal
from playbooks.host_isolation import HostChange, HostObservation
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Name

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StandingUnreadable(FirebreakError):
    """The journal holds something that is no record of what stands."""

    code: ClassVar[str] = "standing-unreadable"


class Standing(Frozen):
    """One containment. Times are UTC by the wall clock: nothing else runs on while a host is off."""

    order_id: Name
    change: HostChange
    before: HostObservation | None = None
    noted_at: datetime
    applied_at: datetime | None = None
    wound_at: datetime
    lease_seconds: int
    boot_id: str
    proven: bool = False
    letting_go: bool = False

    @property
    def until(self) -> datetime:
        """When the lease ends that was wound up last."""
        return self.wound_at + timedelta(seconds=self.lease_seconds)

    @property
    def ends_open(self) -> bool:
        """Whether the end of the lease lifts it."""
        return self.change.ends == "open"

    def seconds_left(self, now: datetime) -> int:
        """What is left of the lease; never more than it was given, whatever became of the clock meanwhile."""
        return min(int((self.until - now).total_seconds()), self.lease_seconds)

    def over(self, now: datetime) -> bool:
        """Whether it may not stand any more."""
        return self.ends_open and self.seconds_left(now) < 1

    def wound(self, now: datetime, lease_seconds: int, boot_id: str) -> "Standing":
        """The same with a lease that begins now."""
        changes = {"wound_at": now, "lease_seconds": lease_seconds, "boot_id": boot_id, "letting_go": False}
        return self.model_copy(update=changes)


class Standings:
    """The records of one journal, by the name of our table."""

    def __init__(self, journal: OrderJournal) -> None:
        self._journal = journal

    def find(self, table: str) -> Standing | None:
        """What stands under this name; what can't be read must not keep a host from being cut."""
        document = self._journal.standing(table)
        if document is None:
            return None
        try:
            return _read(table, document)
        except StandingUnreadable:
            return None

    def every(self) -> dict[str, Standing | StandingUnreadable]:
        """All of them."""
        found: dict[str, Standing | StandingUnreadable] = {}
        for table, document in sorted(self._journal.standings().items()):
            try:
                found[table] = _read(table, document)
            except StandingUnreadable as error:
                found[table] = error
        return found

    def keep(self, standing: Standing) -> None:
        """From now on this is what stands."""
        self._journal.keep_standing(standing.change.table, standing.model_dump_json())

    def let_go(self, table: str) -> None:
        """It is about to be lifted by somebody's order: nobody is to load it again."""
        found = self.find(table)
        if found is not None:
            self.keep(found.model_copy(update={"letting_go": True}))

    def drop(self, table: str) -> None:
        """It stands no more."""
        self._journal.drop_standing(table)


def read_boot_id() -> str:
    """Tells this boot from every other (random(4))."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _read(table: str, document: str) -> Standing:
    try:
        standing = Standing.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StandingUnreadable(
            f"The journal's record of {table} can't be read: {where}: {first['msg']}.",
            hint="It is of another version of the agent. What stands goes on standing; release it by its incident.",
        ) from error
    if standing.change.table != table:
        raise StandingUnreadable(f"The journal's record of {table} is of {standing.change.table}.")
    return standing
