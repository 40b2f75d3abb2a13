"""What every observer of AWS does alike.

Owns the way from a target to its place, and from AWS's lists of tags to labels. Never calls AWS.
"""

from typing import Any

from activities.killswitch.platform import TargetUnknown
from segmentation.workloads import AwsRef, Workload


def place_of(target: Workload) -> AwsRef:
    """Where a target is.

    Raises:
        TargetUnknown: it does not say.
    """
    if target.aws is None:
        raise TargetUnknown(f"{target.name} has no account, region and name in AWS.", hint="Give them with the target.")
    return target.aws


def tags_of(resource: dict[str, Any], key: str = "Tags") -> dict[str, str]:
    """The tags of a resource as labels."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in resource.get(key, [])}
