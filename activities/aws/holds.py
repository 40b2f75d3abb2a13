"""Who holds what several containments of the network share, as tags.

Owns the form of those tags. An entry of a network ACL can't be tagged, so its ACL is: one tag for each entry and
holder, because two who add theirs at once must not overwrite each other's. A security group is held by one incident.

    firebreak:held:ingress:98:firebreak-inc-1-0b5c6a7d = inc-1       on the ACL
    firebreak:held = inc-1                                           on the security group
"""

from typing import Any

from pydantic import JsonValue

from activities.aws.attributes import Account, Attribute
from activities.killswitch.platform import Moment
from playbooks.aws.holds import READ_GROUP_HOLD, WRITE_GROUP_HOLD

HELD_TAG = "firebreak:held"


def holders(acl: dict[str, Any]) -> dict[str, JsonValue]:
    """By entry of an ACL, as `ingress/98`, the names of those who hold it."""
    found: dict[str, list[JsonValue]] = {}
    for tag in acl.get("Tags", []):
        key = str(tag["Key"])
        if key.startswith(f"{HELD_TAG}:"):
            side, number, holder = key.removeprefix(f"{HELD_TAG}:").split(":", 2)
            found.setdefault(f"{side}/{number}", []).append(holder)
    return {entry: sorted(names, key=str) for entry, names in sorted(found.items())}


def holders_of(acl: dict[str, Any], entry: str) -> list[str]:
    """Who holds one entry."""
    names = holders(acl).get(entry)
    return [str(name) for name in names] if isinstance(names, list) else []


def hold(account: Account, acl: str, entry: str, holder: str) -> None:
    """Be among those who hold an entry."""
    tag = {"Key": _key(entry, holder), "Value": account.incident_id}
    account.client("ec2").create_tags(Resources=[acl], Tags=[tag])


def let_go(account: Account, acl: str, entry: str, holder: str) -> None:
    """Be none of them any more."""
    account.client("ec2").delete_tags(Resources=[acl], Tags=[{"Key": _key(entry, holder)}])


def _key(entry: str, holder: str) -> str:
    return f"{HELD_TAG}:{entry.replace('/', ':')}:{holder}"


def read_group_hold(account: Account, group: str) -> JsonValue:
    """The incident that holds a security group; None: none does."""
    found = account.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    return group_hold(found)


def group_hold(group: dict[str, Any]) -> JsonValue:
    """The same of a group that was read already."""
    return next((str(tag["Value"]) for tag in group.get("Tags", []) if tag["Key"] == HELD_TAG), None)


def write_group_hold(account: Account, group: str, value: JsonValue, _: Moment) -> None:
    """Have an incident hold a security group, or nobody."""
    ec2 = account.client("ec2")
    if value is None:
        ec2.delete_tags(Resources=[group], Tags=[{"Key": HELD_TAG}])
    else:
        ec2.create_tags(Resources=[group], Tags=[{"Key": HELD_TAG, "Value": str(value)}])


def refuse_group_hold(account: Account, group: str, value: JsonValue) -> str:
    """EC2's dry run of the tag."""
    ec2 = account.client("ec2")
    if value is None:
        ec2.delete_tags(Resources=[group], Tags=[{"Key": HELD_TAG}], DryRun=True)
    else:
        ec2.create_tags(Resources=[group], Tags=[{"Key": HELD_TAG, "Value": str(value)}], DryRun=True)
    return ""


ATTRIBUTES = {
    ("security-group", "held-by"): Attribute(
        read_group_hold, write_group_hold, (*READ_GROUP_HOLD, *WRITE_GROUP_HOLD), refuse_group_hold
    ),
}
