"""Cutting this host off, keeping it so, letting it go.

Owns the order of steps: observe, journal, apply, then everything else. Never re-opens a host because
something went wrong, with one exception: a change that has just cut the lifeline is lifted at once, or nobody
could ever lift it.

    isolation = HostIsolation("9f2c...", journal, nft)
    done = isolation.isolate(order)      # packets stop about 5 ms after the call
    isolation.release(ReleaseOrder(header=..., change=done.change, observation=done.observation))
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from activities.contracts.host import (
    Isolated,
    IsolateOrder,
    Released,
    ReleaseOrder,
    Renewed,
    RenewOrder,
)
from activities.host.aftermath import Ended, end_sessions
from activities.host.drift import NobodyWatches, Watcher
from activities.host.interfaces import read_interfaces
from activities.host.lifeline import await_lifeline, is_alive
from activities.host.nft import Nft, NftRefused
from activities.host.observe import HostObserver, Seen
from activities.host.ownership import ForeignChange, check_own
from activities.host.ruleset import Ruleset, drift
from activities.host.steps import Steps
from activities.orders.journal import OrderJournal
from playbooks.host_isolation import (
    HostChange,
    HostObservation,
    IsolationIntent,
    other_mode_stands,
    plan_isolation,
    refit,
    renewal,
    table_name,
)
from playbooks.isolation_modes import IsolateAll
from segmentation.errors import FirebreakError

_ATTEMPTS = 3


class PlanStale(FirebreakError):
    """The host is no longer what the plan was made for."""

    code: ClassVar[str] = "plan-stale"


class OtherModeStands(FirebreakError):
    """The incident holds the host in another mode; taking its rules away could open what they cut."""

    code: ClassVar[str] = "other-mode-stands"


class HostIsolation:
    """The isolation of one host; one change at a time."""

    def __init__(self, host_id: str, journal: OrderJournal, nft: Nft, watcher: Watcher | None = None) -> None:
        self._host_id, self._journal, self._nft = host_id, journal, nft
        self._watcher = watcher or NobodyWatches()
        self._changing = threading.Lock()
        self.observer = HostObserver(host_id, nft)
        self._watcher.when_changed(self.observer.warm)

    def isolate(self, order: IsolateOrder) -> Isolated:
        """Cut the host off, then prove to ourselves that the lifeline lives.

        Raises:
            PlanStale: the plan that was approved is not the plan for what is here now; nothing was changed.
            OtherModeStands: another mode than isolate-all would replace one that stands; nothing was changed.
            NftRefused: nothing was changed.
        """
        if order.intent.host_id != self._host_id:
            raise ForeignChange(f"The order to isolate {order.intent.host_id} came to {self._host_id}.")
        steps = Steps()
        with self._changing:
            before, change, standing = self._cut(order, steps)
            return self._settle(order, before, change, standing=standing, steps=steps)

    def renew(self, order: RenewOrder) -> Renewed:
        """Wind the dead-man up again; where our table is gone or let go, load it again.

        Raises:
            ForeignChange: the change touches more than its own table.
        """
        check_own(order.change)
        with self._changing:
            until = datetime.now(UTC) + timedelta(seconds=order.lease_seconds)
            ruleset = self.observer.list_ruleset()
            devices = {interface.name for interface in read_interfaces()}
            remaining = refit(order.change, devices & set(order.change.devices))
            present = refit(order.change, devices)
            reload = () if ruleset.holds(present) else present.commands
            self._nft.apply((*reload, *renewal(present, order.lease_seconds)))
            self._watcher.hold(present, until)
        # Before 6.16 the kernel removes the chain of a device that goes away, since then it keeps it.
        return Renewed(until=until, standing=ruleset.holds(order.change) or ruleset.holds(remaining))

    def release(self, order: ReleaseOrder) -> Released:
        """Delete our table and nothing else; say what differs from what stood before.

        Raises:
            ForeignChange: the change touches more than its own table.
        """
        check_own(order.change)
        with self._changing:
            was_standing = order.change.table in self.observer.list_ruleset().tables_in_force
            self._lift(order.change)
            after = self.observer.list_ruleset()
        differs = _differences(order.observation, after)
        restored = not differs and order.change.table not in after.our_tables
        return Released(released_at=datetime.now(UTC), restored=restored, was_standing=was_standing, drift=differs)

    def _cut(self, order: IsolateOrder, steps: Steps) -> tuple[HostObservation, HostChange, bool]:
        """What stood before this order, the change, and whether it stood already."""
        for attempt in range(_ATTEMPTS):
            seen = self.observer.observe()
            steps.done("observed")
            self._check_mode(order.intent, seen.observation)
            change = self._plan(order, seen)
            before = self._note(order, seen.observation)
            steps.done("journalled")
            if seen.ruleset.holds(change):
                return before, change, True
            try:
                self._nft.apply(change.commands)
            except NftRefused:
                # A device that went away since it was observed makes the batch invalid as a whole.
                if attempt + 1 == _ATTEMPTS:
                    raise
            else:
                steps.done("applied")
                return before, change, False
        raise AssertionError("unreachable")

    def _check_mode(self, intent: IsolationIntent, observation: HostObservation) -> None:
        """Widening to isolate-all cuts at least what stood; anything else might open something."""
        if other_mode_stands(observation, intent) and not isinstance(intent.mode, IsolateAll):
            raise OtherModeStands(
                f"{self._host_id} is held in another mode than {intent.mode.kind} by {intent.incident_id}.",
                hint="Release it first, or isolate all.",
            )

    def _plan(self, order: IsolateOrder, seen: Seen) -> HostChange:
        """The full change, also where it stands already: an expired or damaged table is loaded anew."""
        table = table_name(order.intent.incident_id)
        change = plan_isolation(seen.observation.without(table), order.intent)
        approved = {order.change.plan_hash} if order.change else set()
        approved |= {order.header.plan_hash} if order.header.plan_hash else set()
        if approved and approved != {change.plan_hash}:
            raise PlanStale(
                f"The plan for {self._host_id} is now {change.plan_hash}, "
                f"approved was {' and '.join(sorted(approved))}.",
                hint="Devices or the lifeline changed since: observe again and decide on the new plan.",
            )
        return change

    def _note(self, order: IsolateOrder, observation: HostObservation) -> HostObservation:
        """The observation of the first attempt: a later one sees what the first has done."""
        document = observation.model_dump_json()
        kept = self._journal.note(order.header.order_id, "observation", document)
        return observation if kept == document else HostObservation.model_validate_json(kept)

    def _settle(
        self,
        order: IsolateOrder,
        before: HostObservation,
        change: HostChange,
        *,
        standing: bool,
        steps: Steps,
    ) -> Isolated:
        applied_at = self._applied_at(order)
        read_back = standing or self.observer.list_ruleset().holds(change)
        steps.done("read-back")
        lifeline = await_lifeline(order.intent)
        steps.done("lifeline")
        done = Isolated(
            observation=before,
            change=change,
            applied_at=applied_at,
            read_back=read_back,
            already_standing=standing,
            lifeline=lifeline,
        )
        # Whoever isolated it earlier has proven the lifeline: then it is the other end that is down.
        ours = change.table not in before.firebreak_tables
        if ours and not is_alive(order.intent, lifeline):
            return self._roll_back(done, steps)
        self._watcher.hold(change, applied_at + timedelta(seconds=change.lease_seconds))
        return _with(done, end_sessions(before.interfaces, order.intent.lifeline, order.intent.mode), steps)

    def _roll_back(self, done: Isolated, steps: Steps) -> Isolated:
        self._lift(done.change)
        steps_ms = steps.done("rolled-back")
        return done.model_copy(update={"rolled_back": True, "steps_ms": steps_ms, "detail": "the lifeline was dead"})

    def _applied_at(self, order: IsolateOrder) -> datetime:
        now = datetime.now(UTC).isoformat()
        return datetime.fromisoformat(self._journal.note(order.header.order_id, "applied_at", now))

    def _lift(self, change: HostChange) -> None:
        self._watcher.let_go(change.table)
        self._nft.apply(change.inverse().commands)


def _with(done: Isolated, ended: Ended, steps: Steps) -> Isolated:
    return done.model_copy(
        update={
            "connections_deleted": ended.connections,
            "sockets_destroyed": ended.sockets,
            "cut_off": ended.owners,
            "steps_ms": steps.done("sessions-ended"),
            "detail": "; ".join(ended.failures),
        }
    )


def _differences(before: HostObservation, after: Ruleset) -> tuple[str, ...]:
    if after.digest == before.ruleset_digest:
        return ()
    return drift(before.ruleset_outline, after.outline) or ("the ruleset differs from the one before",)
