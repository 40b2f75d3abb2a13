"""The cut itself: observe, plan, journal, apply.

Owns what an order takes over from an earlier one of its incident whose answer was lost or whose agent died: what
stood before the first of them, and what stands. Never judges the lifeline, and lifts nothing.

    cut = Cutter(nft, observer, standings).cut(order, steps)
    cut.standing, cut.before, cut.already
"""

from dataclasses import dataclass
from datetime import datetime

from activities.contracts.host import IsolateOrder
from activities.host.nft import Nft, NftRefused
from activities.host.observe import HostObserver, Seen
from activities.host.planning import plan_here, same_rules
from activities.host.standing import Standing, Standings, utc_now
from activities.host.steps import Steps
from playbooks.host_isolation import HostChange, HostObservation, Interface, renewal, table_name

_ATTEMPTS = 3


@dataclass(frozen=True)
class Cut:
    """What an order found or made. `interfaces` are those of now, `before` is what stood before the first order."""

    standing: Standing
    before: HostObservation
    interfaces: tuple[Interface, ...]
    already: bool

    @property
    def applied_at(self) -> datetime:
        """When it was applied; where the agent died right after, when it was about to be."""
        return self.standing.applied_at or self.standing.noted_at


class Cutter:
    """Cuts one host; its caller lets one order at a time in."""

    def __init__(self, nft: Nft, observer: HostObserver, standings: Standings) -> None:
        self._nft, self._observer, self._standings = nft, observer, standings

    def cut(self, order: IsolateOrder, steps: Steps) -> Cut:
        """Have the host cut off by the plan of the order; raises as `HostIsolation.isolate` says."""
        former = self._standings.find(table_name(order.intent.incident_id))
        for attempt in range(_ATTEMPTS):
            seen = self._observer.observe()
            steps.done("observed")
            change = plan_here(order, seen)
            standing = self._take_over(former, order, seen, change)
            if standing is not None:
                steps.done("journalled")
                return standing
            cut = self._expect(former, order, seen, change)
            steps.done("journalled")
            try:
                self._nft.apply(change.commands)
            except NftRefused:
                # A device that went away since it was observed makes the batch invalid as a whole. The journal must not
                # say that it stands while it is looked at again: a restart would load what nobody wants any more.
                self._put_back(change.table, former)
                if attempt + 1 == _ATTEMPTS:
                    raise
            else:
                steps.done("applied")
                applied = cut.standing.model_copy(update={"applied_at": utc_now()})
                return Cut(applied, cut.before, cut.interfaces, already=False)
        raise AssertionError("unreachable")

    def _take_over(self, former: Standing | None, order: IsolateOrder, seen: Seen, change: HostChange) -> Cut | None:
        """What stands as this order wants it; None where it does not."""
        if not seen.ruleset.holds(change) or (former is not None and not same_rules(former.change, change)):
            return None
        before = (former.before if former else None) or seen.observation.without(change.table)
        if former is None:
            standing = self._record(order, change, before, proven=True)
        else:
            standing = former.model_copy(update={"change": change, "before": before, "letting_go": False})
        standing = self._wind_up(former, standing)
        if standing != former:
            self._standings.keep(standing)
        return Cut(standing, before, seen.observation.interfaces, already=True)

    def _wind_up(self, former: Standing | None, standing: Standing) -> Standing:
        """Whoever takes a lease over renews it after a third: before, it must not run out."""
        change, now = standing.change, utc_now()
        lease = change.lease_seconds
        if not standing.ends_open or (former is not None and standing.seconds_left(now) * 3 >= lease * 2):
            return standing
        wound = standing.wound(now, lease, self._observer.boot_id)
        self._standings.keep(wound)
        self._nft.apply(renewal(change, lease))
        return wound

    def _expect(self, former: Standing | None, order: IsolateOrder, seen: Seen, change: HostChange) -> Cut:
        """Journal what is about to stand, before it does: a crash from here on finds it."""
        in_force = change.table in seen.observation.firebreak_tables
        adopted = former if former is not None and _goes_on(former, order, in_force=in_force) else None
        before = (adopted.before if adopted else None) or seen.observation.without(change.table)
        # Whoever isolated it earlier has proven the lifeline: then it is the other end that is down.
        standing = self._record(order, change, before, proven=adopted.proven if adopted else in_force)
        self._standings.keep(standing)
        return Cut(standing, before, seen.observation.interfaces, already=False)

    def _record(self, order: IsolateOrder, change: HostChange, before: HostObservation, *, proven: bool) -> Standing:
        now = utc_now()
        return Standing(
            order_id=order.header.order_id,
            change=change,
            before=before,
            noted_at=now,
            wound_at=now,
            lease_seconds=change.lease_seconds,
            boot_id=self._observer.boot_id,
            proven=proven,
        )

    def _put_back(self, table: str, former: Standing | None) -> None:
        """Nothing was applied: the journal must not say so either."""
        if former is None:
            self._standings.drop(table)
        else:
            self._standings.keep(former)


def _goes_on(former: Standing, order: IsolateOrder, *, in_force: bool) -> bool:
    """Whether the order belongs to a containment that has begun and not ended, flushed or not."""
    if in_force or former.order_id == order.header.order_id:
        return True
    return not former.letting_go and not former.over(utc_now())
