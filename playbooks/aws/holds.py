"""Under which name a containment holds what it shares with others of its network, and what that takes. Pure.

Owns the holder's name and the permissions. Where the name is kept is `activities.aws.holds`'.

    holder_of(intent)   # -> "firebreak-inc-1-0b5c6a7d"
"""

from playbooks.canonical import digest
from playbooks.platform_intent import PlatformIntent, mark

WRITE_HOLD = ("ec2:CreateTags", "ec2:DeleteTags")
READ_GROUP_HOLD = ("ec2:DescribeSecurityGroups",)
WRITE_GROUP_HOLD = WRITE_HOLD


def holder_of(intent: PlatformIntent) -> str:
    """One for each target of an incident: two subnets may share an ACL."""
    return f"{mark(intent.incident_id)}-{digest([intent.target_id]).removeprefix('sha256:')[:8]}"
