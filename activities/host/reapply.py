"""Loading again what is to stand by the journal: after a reboot, a restart of the agent, a flush nobody saw.

Owns which containments come back and for how long: one that ends open for the time that was left of its lease, one that
ends closed always, one that was being let go never. Never prolongs a lease and never lifts anything.

    for found in Reapplier(host_id, Standings(journal), nft, read_boot_id()).run():
        found.table, found.outcome, found.detail
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from activities.host.interfaces import read_interfaces
from activities.host.nft import Nft, NftRefused
from activities.host.ownership import check_own
from activities.host.ruleset import Ruleset
from activities.host.standing import Standing, Standings, StandingUnreadable, utc_now
from playbooks.host_isolation import HostChange, refit, renewal
from playbooks.isolation_rules import body
from playbooks.nftables import NftCommand
from segmentation.errors import FirebreakError

Outcome = Literal["loaded", "partly-loaded", "standing", "over", "let-go", "failed"]
_ATTEMPTS = 3
_FAMILIES = ("inet", "netdev", "bridge")


@dataclass(frozen=True)
class Reapplied:
    """What became of one record. `held`: what has to stand from now on, and until when."""

    table: str
    outcome: Outcome
    detail: str = ""
    held: tuple[HostChange, datetime] | None = None

    @property
    def incomplete(self) -> bool:
        """Whether something that has to stand does not, or not whole."""
        return self.outcome in ("failed", "partly-loaded")


class Reapplier:
    """Goes through the records of one journal."""

    def __init__(self, host_id: str, standings: Standings, nft: Nft, boot_id: str) -> None:
        self._host_id, self._standings, self._nft, self._boot_id = host_id, standings, nft, boot_id

    def run(self) -> tuple[Reapplied, ...]:
        """Every record, whatever becomes of the others."""
        return tuple(self._try(table, found) for table, found in self._standings.every().items())

    def _try(self, table: str, found: Standing | StandingUnreadable) -> Reapplied:
        if isinstance(found, StandingUnreadable):
            return Reapplied(table, "failed", str(found))
        try:
            return self._bring_back(found)
        except (FirebreakError, OSError) as error:
            return Reapplied(table, "failed", str(error))

    def _bring_back(self, standing: Standing) -> Reapplied:
        change, now = standing.change, utc_now()
        if change.host_id != self._host_id:
            return Reapplied(change.table, "failed", f"It is of host {change.host_id}, this is {self._host_id}.")
        check_own(change)
        ruleset = Ruleset(self._nft.list_ruleset())
        if standing.letting_go or standing.over(now):
            if change.table not in ruleset.our_tables:
                self._standings.drop(change.table)
            return Reapplied(change.table, "let-go" if standing.letting_go else "over")
        present = refit(change, _devices())
        outcome: Outcome = "standing"
        if not ruleset.holds(present):
            present, refused = self._load(standing, now)
            outcome = "partly-loaded" if refused else "loaded"
            return self._held(standing, present, outcome, "; ".join(refused))
        return self._held(standing, present, outcome)

    def _held(self, standing: Standing, present: HostChange, outcome: Outcome, detail: str = "") -> Reapplied:
        if standing.boot_id != self._boot_id:
            self._standings.keep(standing.model_copy(update={"boot_id": self._boot_id}))
            detail = "; ".join(filter(None, ("the host was booted since", detail)))
        return Reapplied(present.table, outcome, detail, (present, standing.until))

    def _load(self, standing: Standing, now: datetime) -> tuple[HostChange, list[str]]:
        """All of it, or else what the kernel takes of it: part of a cut is more than none."""
        present = standing.change
        for _ in range(_ATTEMPTS):
            present = refit(standing.change, _devices())
            try:
                self._nft.apply(_batch(present, standing.seconds_left(now)))
            except NftRefused:
                # While a host boots its devices come, go and are named anew.
                continue
            return present, []
        return present, self._load_by_family(_batch(present, standing.seconds_left(now)))

    def _load_by_family(self, batch: Sequence[NftCommand]) -> list[str]:
        refused: list[NftRefused] = []
        loaded = 0
        for family in _FAMILIES:
            part = [command for command in batch if body(command)["family"] == family]
            try:
                self._nft.apply(part)
                loaded += bool(part)
            except NftRefused as error:
                refused.append(error)
        if not loaded:
            raise refused[0]
        return [error.summary for error in refused]


def _batch(change: HostChange, seconds_left: int) -> tuple[NftCommand, ...]:
    return (*change.commands, *renewal(change, seconds_left))


def _devices() -> set[str]:
    return {interface.name for interface in read_interfaces()}
