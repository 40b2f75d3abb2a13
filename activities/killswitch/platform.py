"""What a platform offers to the kill-switch: read an attribute, write it, say what it would refuse.

Owns the protocol and the errors every platform raises. Never knows a platform.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from pydantic import JsonValue

from activities.contracts.killswitch import PlatformObservation
from playbooks.change import Setting
from playbooks.platform_intent import PlatformIntent
from segmentation.errors import FirebreakError
from segmentation.workloads import Workload


class TargetUnknown(FirebreakError):
    """The target is not there, or not any more."""

    code: ClassVar[str] = "target-unknown"


class PermissionMissing(FirebreakError):
    """The platform does not let us; the missing permission is named."""

    code: ClassVar[str] = "permission-missing"


class PlatformUnreachable(FirebreakError):
    """The platform does not answer."""

    code: ClassVar[str] = "platform-unreachable"
    retryable: ClassVar[bool] = True


class PlatformThrottled(FirebreakError):
    """The platform answers that it is asked too often."""

    code: ClassVar[str] = "platform-throttled"
    retryable: ClassVar[bool] = True


class PlatformRefused(FirebreakError):
    """The platform refuses what was asked, for a reason of its own."""

    code: ClassVar[str] = "platform-refused"


class PlanStale(FirebreakError):
    """What was planned from is not there any more: somebody has set it to something else meanwhile."""

    code: ClassVar[str] = "plan-stale"


class StillHeld(FirebreakError):
    """It is not ours any more, and stays as it is: another containment holds it too."""

    code: ClassVar[str] = "still-held"


@dataclass(frozen=True)
class Moment:
    """What the placeholders of a value stand for when it is written."""

    applied_at: datetime
    lease_until: datetime


class Platform(Protocol):
    """One account or cluster, opened for one incident. Every method may raise the errors above."""

    def observe(self, target: Workload, intent: PlatformIntent) -> PlatformObservation:
        """The target as it is now, with everything that a change could touch. Read-only."""

    def read(self, setting: Setting) -> JsonValue:
        """The attribute as it is now, as `before` and `after` have it; None where it is not there."""

    def write(self, setting: Setting, value: JsonValue, moment: Moment) -> None:
        """Set the attribute; None removes it. Repeating it changes nothing.

        Who holds a shared setting is kept beside it: writing `after` adds us, anything else takes us away. Until we are
        among them, what others hold reads as it was before them.

        Raises:
            StillHeld: others hold it, so it was not restored.
        """

    def refusal(self, setting: Setting, value: JsonValue) -> str:
        """What the platform's own dry run says against it; empty where it says nothing or has none."""
