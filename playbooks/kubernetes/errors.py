"""What can't be planned on Kubernetes, and why."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class TargetGone(FirebreakError):
    """The target was not seen in the cluster, or not any more."""

    code: ClassVar[str] = "target-unknown"


class MechanismMissing(FirebreakError):
    """The playbook asks for a mechanism that the cluster does not have."""

    code: ClassVar[str] = "mechanism-missing"
