"""Inputs and results of the kill-switch on platforms: Kubernetes and AWS.

Pure shapes of the five verbs. Observing and planning are two steps there, so that what stood before is in history
before anything changes. Times are UTC.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from playbooks.aws.observation import AwsObservation
from playbooks.change import PlatformChange
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Frozen, Name, Workload


def _is_none(value: object) -> bool:
    return value is None


PlatformObservation = Annotated[KubernetesObservation | AwsObservation, Field(discriminator="platform")]


class ObserveTarget(Frozen):
    """observe_target: read-only."""

    incident_id: Name
    target: Workload
    intent: PlatformIntent


class TargetObserved(Frozen):
    """What observe_target saw."""

    observation: PlatformObservation


class ChangeTarget(Frozen):
    """apply_change, dry_run_change, verify_change, renew_change and release_change: what about which target.

    `until` is the end of the lease, for settings that carry it. `overwrite`: a release also undoes what somebody else
    has set meanwhile; only after people said so.
    """

    incident_id: Name
    target: Workload
    change: PlatformChange
    until: datetime | None = None
    overwrite: bool = False


class Drift(Frozen):
    """A setting that is neither as it was nor as we set it."""

    resource: str
    attribute: Name
    words: str = Field(description="What was expected and what was found.")


class Applied(Frozen):
    """What apply_change or renew_change did. Every essential setting stands, or the activity failed."""

    applied_at: datetime
    already_standing: bool = Field(default=False, description="There was nothing left to do.")
    changed: int = Field(default=0, description="Settings that were written.")
    problems: tuple[str, ...] = Field(default=(), description="Precautions that failed, and why.")
    drift: tuple[Drift, ...] = ()


class Contained(Frozen):
    """What stands on a target after its change was applied: what its lease is about."""

    observation: PlatformObservation | None = Field(
        default=None, exclude_if=_is_none, description="None: whoever made it was ended, and told nobody else."
    )
    change: PlatformChange
    applied_at: datetime
    problems: tuple[str, ...] = ()


class Refused(Frozen):
    """Why one of several targets could not be observed or changed; the others were."""

    code: Name
    reason: str
    hint: str = ""
    retryable: bool


class ObserveTargets(Frozen):
    """observe_targets: several targets of one platform at once."""

    orders: tuple[ObserveTarget, ...] = Field(min_length=1, max_length=100)


class TargetsObserved(Frozen):
    """One answer for each order, in their order."""

    answers: tuple[TargetObserved | Refused, ...]


class ChangeTargets(Frozen):
    """apply_changes: several targets of one platform at once, side by side."""

    orders: tuple[ChangeTarget, ...] = Field(min_length=1, max_length=100)


class ChangesApplied(Frozen):
    """One answer for each order, in their order."""

    answers: tuple[Applied | Refused, ...]


class ReadBack(Frozen):
    """What verify_change or dry_run_change found."""

    at: datetime
    standing: int = Field(description="Settings that are as the change wants them.")
    differing: tuple[str, ...] = Field(default=(), description="The others, in words; a dry run's refusals.")
    unreadable: int = Field(default=0, description="Those of the others that could not be read: they may stand.")


class LetGo(Frozen):
    """What release_change did. `restored`: every setting is as it was before; else `drift` says which are not."""

    released_at: datetime
    restored: bool
    was_standing: bool = Field(description="False: nothing of ours was in force any more.")
    drift: tuple[Drift, ...] = ()
    kept: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda kept: not kept,
        description="What is not ours any more and stands all the same, because another containment holds it too.",
    )
