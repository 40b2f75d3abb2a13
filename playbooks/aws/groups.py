"""The security groups that Firebreak makes for a target, as plans speak of them. Pure.

Owns their names and what their rules are called. Never knows an id: AWS gives it when a group is made.

    quarantine_name("inc-1", "i-0a1b")   # -> "firebreak-inc-1-i-0a1b"
"""

import hashlib

from playbooks.platform_intent import mark

# Every name of ours starts so; see `mark`.
OURS = "firebreak-"
ANYBODY = ("0.0.0.0/0", "::/0")
# A group as AWS makes it: nothing in, everything out.
NEW = "new"
OPEN = tuple(sorted(f"{side} all {peer}" for side in ("ingress", "egress") for peer in ANYBODY))
# A group's name is at most 255 characters (CreateSecurityGroup).
LONGEST_NAME = 255

READ_GROUPS = ("ec2:DescribeSecurityGroups",)
_MAKE_AND_DELETE = ("ec2:CreateSecurityGroup", "ec2:CreateTags", "ec2:DeleteSecurityGroup")
WRITE_QUARANTINE_GROUP = (
    *_MAKE_AND_DELETE,
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
)
WRITE_OPEN_GROUP = (
    *_MAKE_AND_DELETE,
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
)

READ_INTERFACE = ("ec2:DescribeNetworkInterfaces", *READ_GROUPS)
WRITE_INTERFACE = ("ec2:ModifyNetworkInterfaceAttribute",)


OPEN_SUFFIX = "-open"


def quarantine_name(incident_id: str, instance: str) -> str:
    """The group that lets nothing through: one for each target, so that releasing one frees no other."""
    return _fit(f"{mark(incident_id)}-{instance}")


def open_name(incident_id: str, instance: str) -> str:
    """The group that lets everything through, for the moment between the two steps."""
    return _fit(f"{mark(incident_id)}-{instance}{OPEN_SUFFIX}")


def _fit(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    suffix = OPEN_SUFFIX if name.endswith(OPEN_SUFFIX) else ""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 17 - len(suffix)]}-{digest}{suffix}"
