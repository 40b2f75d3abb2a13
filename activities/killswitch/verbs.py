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
    ChangeTarget,
    LetGo,
    ObserveTarget,
    ReadBack,
    TargetObserved,
)
from activities.killswitch import engine
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
            self.apply_change,
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
