"""The making of the security groups that are ours, their rules and their end.

Owns how one is made for one target of one incident, filled and deleted. Never touches a group that does not carry the
incident's tag; finding and naming them is in `activities.aws.groups`.

    resource "quarantine-group/vpc-1/firebreak-inc-1-i-1", attribute "rules":
        None -> not there, "new" -> made, with AWS's own rules still in it, [] -> nothing in, nothing out
"""

import time
from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import INCIDENT_TAG, Account, Attribute
from activities.aws.errors import absent, code_of
from activities.aws.groups import find, is_ours, rules_of, with_name
from activities.killswitch.platform import Moment, PlatformRefused, PlatformUnreachable
from playbooks.aws.groups import (
    ANYBODY,
    NEW,
    OPEN,
    READ_GROUPS,
    WRITE_OPEN_GROUP,
    WRITE_QUARANTINE_GROUP,
)

# A new group lets everything out; an unfinished open group has some of its rules.
UNFINISHED_QUARANTINE = frozenset(rule for rule in OPEN if rule.startswith("egress"))
UNFINISHED_OPEN = frozenset(OPEN)
# A group that was just made may not be visible everywhere yet (EC2 guide, "Eventual consistency").
VISIBLE_TRIES, VISIBLE_SECONDS = 20, 1.0
# What AWS lets a group do that it has just made; `::/0` too in a VPC with IPv6.
AS_MADE = f"egress all {ANYBODY[0]}"


def read_quarantine(account: Account, name: str) -> JsonValue:
    """None, "new" or the rules of a group that is to have none."""
    return _read(account, name, UNFINISHED_QUARANTINE)


def read_open(account: Account, name: str) -> JsonValue:
    """None, "new" or the rules of a group that is to allow everything."""
    return _read(account, name, UNFINISHED_OPEN)


def _read(account: Account, name: str, unfinished: frozenset[str]) -> JsonValue:
    vpc, _, group_name = name.partition("/")
    group = find(account, vpc, group_name)
    if group is None:
        account.notes[_absent(name)] = "when it was last read"
        return None
    rules = rules_of(group)
    return NEW if rules and set(rules) <= unfinished and rules != list(OPEN) else list(rules)


def write_quarantine(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Make the group and take out what AWS put into it, or delete it."""
    _write(account, name, value, wanted=[])


def write_open(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Make the group and have it allow everything, or delete it."""
    _write(account, name, value, wanted=list(OPEN))


def _write(account: Account, name: str, value: JsonValue, wanted: list[str]) -> None:
    vpc, _, group_name = name.partition("/")
    was_absent = account.notes.pop(_absent(name), None)
    made = account.notes.pop(_made(name), None)
    if value is None:
        return _delete(account, find(account, vpc, group_name))
    if made is None and (was_absent or find(account, vpc, group_name) is None):
        made = _make(account, vpc, group_name)
    if value != NEW:
        return _settle(account, name, made, wanted)
    if made is not None:
        account.notes[_made(name)] = made
    return None


def _absent(name: str) -> str:
    return f"absent {name}"


def _made(name: str) -> str:
    return f"made {name}"


def _make(account: Account, vpc: str, name: str) -> str | None:
    """The id of a new group; None where ours has been made meanwhile."""
    tags = [{"Key": INCIDENT_TAG, "Value": account.incident_id}, {"Key": "Name", "Value": name}]
    try:
        made = account.client("ec2").create_security_group(
            GroupName=name,
            Description=f"Firebreak, incident {account.incident_id}"[:255],
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )
    except ClientError as error:
        if code_of(error) != "InvalidGroup.Duplicate":
            raise
        if find(account, vpc, name) is None:
            raise _taken(account, vpc, name) from error
        return None
    return str(made["GroupId"])


def _taken(account: Account, vpc: str, name: str) -> PlatformRefused | PlatformUnreachable:
    if any(not is_ours(account, group) for group in with_name(account, vpc, name)):
        return PlatformRefused(
            f"a security group {name} is in {vpc} already and does not carry the tag {INCIDENT_TAG} of this incident.",
            hint="It is not ours, so it is left alone; rename it or tag it.",
        )
    return PlatformUnreachable(f"security group {name} is made but not visible yet.", hint="It is tried again.")


def _settle(account: Account, name: str, made: str | None, wanted: list[str]) -> None:
    """Have the group read back with exactly these rules."""
    vpc, _, group_name = name.partition("/")
    if made is not None and not wanted:
        _change_rules(account, {"GroupId": made, "IpPermissionsEgress": [_anybody(AS_MADE)]}, wanted)
    seen: list[str] | None = None
    for attempt in range(VISIBLE_TRIES):
        group = find(account, vpc, group_name)
        seen = None if group is None else rules_of(group)
        if seen == wanted:
            return
        if group is not None:
            _change_rules(account, group, wanted)
        if attempt:
            time.sleep(VISIBLE_SECONDS)
    raise PlatformUnreachable(
        f"security group {group_name} does not read back as written: {seen or 'not there, or without rules'}.",
        hint="It is tried again; no interface is switched before it does.",
    )


def _change_rules(account: Account, group: dict[str, Any], wanted: list[str]) -> None:
    """Revoke what is too much, then allow what is missing, each in one call so that no half of it can stay."""
    try:
        _revoke(account, group) if not wanted else _allow(account, group, wanted)
    except ClientError as error:
        # What was read is older than what is there: the group is not visible yet, or that was done already.
        if not absent(error) and code_of(error) != "InvalidPermission.Duplicate":
            raise


def _revoke(account: Account, group: dict[str, Any]) -> None:
    ec2, group_id = account.client("ec2"), group["GroupId"]
    if group.get("IpPermissionsEgress"):
        ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=group["IpPermissionsEgress"])
    if group.get("IpPermissions"):
        ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])


def _allow(account: Account, group: dict[str, Any], wanted: list[str]) -> None:
    ec2, rules = account.client("ec2"), rules_of(group)
    calls = {"ingress": ec2.authorize_security_group_ingress, "egress": ec2.authorize_security_group_egress}
    for side, call in calls.items():
        missing = [_anybody(rule) for rule in wanted if rule.startswith(side) and rule not in rules]
        if missing:
            call(GroupId=group["GroupId"], IpPermissions=missing)


def _anybody(rule: str) -> dict[str, Any]:
    peer = rule.rpartition(" ")[2]
    ranges = {"Ipv6Ranges": [{"CidrIpv6": peer}]} if peer == ANYBODY[1] else {"IpRanges": [{"CidrIp": peer}]}
    return {"IpProtocol": "-1", **ranges}


def _delete(account: Account, group: dict[str, Any] | None) -> None:
    if group is None:
        return
    try:
        account.client("ec2").delete_security_group(GroupId=group["GroupId"])
    except ClientError as error:
        if not absent(error):
            raise


def refusal(account: Account, name: str, _: JsonValue) -> str:
    """EC2's dry run of making the group."""
    vpc, _, group_name = name.partition("/")
    account.client("ec2").create_security_group(GroupName=group_name, Description="dry run", VpcId=vpc, DryRun=True)
    return ""


ATTRIBUTES = {
    ("quarantine-group", "rules"): Attribute(
        read_quarantine, write_quarantine, (*READ_GROUPS, *WRITE_QUARANTINE_GROUP), refusal
    ),
    ("open-group", "rules"): Attribute(read_open, write_open, (*READ_GROUPS, *WRITE_OPEN_GROUP), refusal),
}
