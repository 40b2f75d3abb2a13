"""The kill-switch of a platform as activities: one closed list of verbs for Kubernetes and AWS alike.

Owns the names by which workflows call them and the clock behind placeholders. Never knows a platform: it opens one per
call, for one incident.

    verbs = PlatformKillswitch(open_platform)
    Worker(client, task_queue="aws", activities=verbs.activities, ...)
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity

from activities.contracts.killswitch import (
    Applied,
    ChangesApplied,
    ChangeTarget,
    ChangeTargets,
    LetGo,
    ObserveTarget,
    ObserveTargets,
    ReadBack,
    TargetObserved,
    TargetsObserved,
)
from activities.killswitch import engine
from activities.killswitch.many import side_by_side
from activities.killswitch.platform import Moment, Platform
from segmentation.workloads import Name, Workload

# Opens the platform of a target for one incident: its cluster, or its account and region by an assumed role.
OpenPlatform = Callable[[Workload, Name], Platform]


class PlatformKillswitch:
    """observe, apply, verify, renew, release and the platform's own dry run."""

    def __init__(self, open_platform: OpenPlatform) -> None:
        self._open = open_platform

    @property
    def activities(self) -> tuple[Callable[..., Any], ...]:
        """Every verb, to register with a worker."""
        return (
            self.observe_target,
            self.observe_targets,
            self.apply_change,
            self.apply_changes,
            self.verify_change,
            self.dry_run_change,
            self.renew_change,
            self.release_change,
        )

    @activity.defn(name="observe_target")
    def observe_target(self, order: ObserveTarget) -> TargetObserved:
        """The target as it is now."""
        platform = self._open(order.target, order.incident_id)
        return TargetObserved(observation=platform.observe(order.target, order.intent))

    @activity.defn(name="observe_targets")
    def observe_targets(self, orders: ObserveTargets) -> TargetsObserved:
        """Several targets as they are now, asked for at once."""
        return TargetsObserved(answers=side_by_side(self.observe_target, orders.orders))

    @activity.defn(name="apply_changes")
    def apply_changes(self, orders: ChangeTargets) -> ChangesApplied:
        """Have several changes stand, applied side by side: one that fails holds up no other."""
        return ChangesApplied(answers=side_by_side(self.apply_change, orders.orders))

    @activity.defn(name="apply_change")
    def apply_change(self, order: ChangeTarget) -> Applied:
        """Have the change stand."""
        return engine.apply(self._platform(order), order.change, _moment(order))

    @activity.defn(name="verify_change")
    def verify_change(self, order: ChangeTarget) -> ReadBack:
        """Read the change back."""
        return engine.verify(self._platform(order), order.change)

    @activity.defn(name="dry_run_change")
    def dry_run_change(self, order: ChangeTarget) -> ReadBack:
        """Have the platform say what it would refuse."""
        return engine.dry_run(self._platform(order), order.change)

    @activity.defn(name="renew_change")
    def renew_change(self, order: ChangeTarget) -> Applied:
        """Prolong what carries an end, and set again what was taken back."""
        return engine.renew(self._platform(order), order.change, _moment(order))

    @activity.defn(name="release_change")
    def release_change(self, order: ChangeTarget) -> LetGo:
        """Take the change back."""
        return engine.release(self._platform(order), order.change, _moment(order), overwrite=order.overwrite)

    def _platform(self, order: ChangeTarget) -> Platform:
        return self._open(order.target, order.incident_id)


def _moment(order: ChangeTarget) -> Moment:
    now = datetime.now(UTC)
    return Moment(applied_at=now, lease_until=order.until or now + timedelta(seconds=order.change.lease_seconds))
