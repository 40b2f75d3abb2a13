"""Cutting this host off, keeping it so, letting it go.

Owns the order of steps: the cut, its proof, then everything else. Never re-opens a host because something went wrong,
with one exception: a change that has just cut the lifeline is lifted at once, or nobody could ever lift it.

    isolation = HostIsolation("9f2c...", journal, nft)
    done = isolation.isolate(order)      # packets stop about 5 ms after the call
    isolation.release(ReleaseOrder(header=..., change=done.change, observation=done.observation))
"""

import threading
from collections.abc import Callable

from activities.contracts.host import MAX_LINES, Isolated, IsolateOrder, Released, ReleaseOrder, Renewed, RenewOrder
from activities.host.aftermath import end_sessions
from activities.host.cutting import Cut, Cutter
from activities.host.drift import NobodyWatches, Watcher
from activities.host.interfaces import read_interfaces
from activities.host.lifeline import await_lifeline, is_alive
from activities.host.nft import Nft
from activities.host.observe import HostObserver
from activities.host.ownership import ForeignChange, check_own
from activities.host.reapply import Reapplied, Reapplier
from activities.host.ruleset import Ruleset, drift
from activities.host.standing import Standing, Standings, read_boot_id, utc_now
from activities.host.steps import Steps
from activities.orders.journal import OrderJournal
from playbooks.host_isolation import HostChange, HostObservation, refit, renewal
from segmentation import bounds


class HostIsolation:
    """The isolation of one host; one change at a time."""

    def __init__(
        self,
        host_id: str,
        journal: OrderJournal,
        nft: Nft,
        watcher: Watcher | None = None,
        boot_id: Callable[[], str] = read_boot_id,
    ) -> None:
        self._host_id, self._journal, self._nft = host_id, journal, nft
        self._watcher = watcher or NobodyWatches()
        self._changing = threading.Lock()
        self.observer = HostObserver(host_id, nft, boot_id())
        self._standings = Standings(journal)
        self._cutter = Cutter(nft, self.observer, self._standings)
        self._watcher.when_changed(self.observer.warm)

    def isolate(self, order: IsolateOrder) -> Isolated:
        """Cut the host off, then prove to ourselves that the lifeline lives.

        What an earlier order of the incident has applied is taken over, with what stood before that one.

        Raises:
            PlanStale: the plan that was approved is not the plan for what is here now; nothing was changed.
            OtherModeStands: another mode than isolate-all would replace one that stands; nothing was changed.
            NftRefused: nothing was changed.
        """
        if order.intent.host_id != self._host_id:
            raise ForeignChange(f"The order to isolate {order.intent.host_id} came to {self._host_id}.")
        steps = Steps()
        with self._changing:
            return self._settle(order, self._cutter.cut(order, steps), steps)

    def renew(self, order: RenewOrder) -> Renewed:
        """Wind the dead-man up again; where our table is gone or let go, load it again.

        Raises:
            ForeignChange: the change touches more than its own table.
        """
        check_own(order.change)
        with self._changing:
            # What stands by the journal: the order's change may be of a narrower mode that was widened since.
            known = self._standings.find(order.change.table)
            change = order.change if known is None or known.letting_go else known.change
            ruleset = self.observer.list_ruleset()
            stood = self._first_said(order, "stood", found=_stands(ruleset, change))
            renewed = self._renewed(order, change, known)
            # The journal first: a reboot in between must not cost the time that was ordered.
            self._standings.keep(renewed)
            present = refit(change, _devices())
            reload = () if ruleset.holds(present) else present.commands
            self._nft.apply((*reload, *renewal(present, order.lease_seconds)))
            self._watcher.hold(present, renewed.until)
        return Renewed(until=renewed.until, standing=stood)

    def release(self, order: ReleaseOrder) -> Released:
        """Delete our table and nothing else; say what differs from what stood before.

        Raises:
            ForeignChange: the change touches more than its own table.
        """
        check_own(order.change)
        with self._changing:
            in_force = order.change.table in self.observer.list_ruleset().tables_in_force
            was_standing = self._first_said(order, "was-standing", found=in_force)
            self._lift(order.change)
            after = self.observer.list_ruleset()
        # Lifted, and not forgotten: a restart would load it again.
        remembered = (f"the journal can't forget it: {self._journal.impaired}",) if self._journal.impaired else ()
        differs = (*_differences(order.observation, after), *remembered)
        told = bounds.few(differs, MAX_LINES)
        restored = not differs and order.change.table not in after.our_tables
        return Released(released_at=utc_now(), restored=restored, was_standing=was_standing, drift=told)

    def resume(self) -> tuple[Reapplied, ...]:
        """Load again what has to stand by the journal, and have it watched: when the agent starts."""
        with self._changing:
            brought_back = Reapplier(self._host_id, self._standings, self._nft, self.observer.boot_id).run()
            for found in brought_back:
                if found.held is not None:
                    self._watcher.hold(*found.held)
        return brought_back

    def _settle(self, order: IsolateOrder, cut: Cut, steps: Steps) -> Isolated:
        standing = cut.standing
        read_back = cut.already or self.observer.list_ruleset().holds(standing.change)
        steps.done("read-back")
        lifeline = await_lifeline(order.intent)
        steps.done("lifeline")
        done = Isolated(
            observation=cut.before,
            change=standing.change,
            applied_at=cut.applied_at,
            read_back=read_back,
            already_standing=cut.already,
            lifeline=lifeline,
            lease_until=standing.until if standing.ends_open else None,
        )
        if not standing.proven and not is_alive(order.intent, lifeline):
            return self._roll_back(done, steps)
        self._watcher.hold(standing.change, standing.until)
        return self._finish(order, cut, done, steps)

    def _finish(self, order: IsolateOrder, cut: Cut, done: Isolated, steps: Steps) -> Isolated:
        """What is done once the host is cut, and stays undone if we die here: a retry does it."""
        ended = end_sessions(cut.interfaces, order.intent.lifeline, order.intent.mode)
        proven = cut.standing.model_copy(update={"proven": True, "applied_at": cut.applied_at})
        if not cut.already or proven != cut.standing:
            self._standings.keep(proven)
        return done.model_copy(
            update={
                "connections_deleted": ended.connections,
                "sockets_destroyed": ended.sockets,
                "cut_off": ended.owners,
                "steps_ms": steps.done("sessions-ended"),
                "detail": bounds.cut("; ".join((*ended.failures, *self._forgetful()))),
            }
        )

    def _roll_back(self, done: Isolated, steps: Steps) -> Isolated:
        self._lift(done.change)
        steps_ms = steps.done("rolled-back")
        return done.model_copy(
            update={"rolled_back": True, "steps_ms": steps_ms, "detail": "the lifeline was dead", "lease_until": None}
        )

    def _forgetful(self) -> tuple[str, ...]:
        if not self._journal.impaired:
            return ()
        return (
            f"a reboot would lift it, and a restart forget it: the journal takes nothing ({self._journal.impaired})",
        )

    def _renewed(self, order: RenewOrder, change: HostChange, known: Standing | None) -> Standing:
        now, lease = utc_now(), order.lease_seconds
        if known is None:
            # The journal was lost: what stood before is known to the incident alone.
            known = Standing(
                order_id=order.header.order_id,
                change=change,
                noted_at=now,
                wound_at=now,
                lease_seconds=lease,
                boot_id=self.observer.boot_id,
                proven=True,
            )
        return known.wound(now, lease, self.observer.boot_id)

    def _first_said(self, order: RenewOrder | ReleaseOrder, what: str, *, found: bool) -> bool:
        """What the first attempt of an order found: a later one finds what that has done."""
        return self._journal.note(order.header.order_id, what, str(found)) == str(True)

    def _lift(self, change: HostChange) -> None:
        known = self._standings.find(change.table)
        self._watcher.let_go(change.table)
        self._standings.let_go(change.table)
        # A wider mode, or a device that came later, may have loaded more than this change knows of.
        more = known.change.undo if known is not None and known.change.undo != change.undo else ()
        self._nft.apply((*change.undo, *more))
        self._standings.drop(change.table)


def _stands(ruleset: Ruleset, change: HostChange) -> bool:
    """Before 6.16 the kernel removes the chain of a device that goes away, since then it keeps it."""
    remaining = refit(change, _devices() & set(change.devices))
    return ruleset.holds(change) or ruleset.holds(remaining)


def _devices() -> set[str]:
    return {interface.name for interface in read_interfaces()}


def _differences(before: HostObservation, after: Ruleset) -> tuple[str, ...]:
    if after.digest == before.ruleset_digest:
        return ()
    return drift(before.ruleset_outline, after.outline) or ("the ruleset differs from the one before",)
