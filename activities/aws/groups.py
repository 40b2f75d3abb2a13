"""The security groups that are ours: made for one target of one incident, found by name, VPC and tag.

Owns their making, their rules and their end, and the names by which plans speak of them: an id is not known when a plan
is made, so a value says `@name`. Never touches a group that does not carry the incident's tag.

    resource "quarantine-group/vpc-1/firebreak-inc-1-i-1", attribute "rules":
        None -> not there, "new" -> made, with AWS's own rules still in it, [] -> nothing in, nothing out
"""

from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import INCIDENT_TAG, Account, Attribute
from activities.aws.errors import absent, code_of
from activities.killswitch.platform import Moment, PlatformRefused, PlatformUnreachable
from playbooks.aws.groups import (
    ANYBODY,
    NEW,
    OPEN,
    OPEN_SUFFIX,
    OURS,
    READ_GROUPS,
    WRITE_OPEN_GROUP,
    WRITE_QUARANTINE_GROUP,
)

# A new group lets everything out; an unfinished open group has some of its rules.
UNFINISHED_QUARANTINE = frozenset(rule for rule in OPEN if rule.startswith("egress"))
UNFINISHED_OPEN = frozenset(OPEN)
# A group that was just made may not be visible everywhere yet (EC2 guide, "Eventual consistency").
VISIBLE = {"Delay": 1, "MaxAttempts": 20}


def names(account: Account, groups: list[dict[str, Any]]) -> list[str]:
    """The groups of an interface as plans have them: ids, and `@name` for our own. Their order means nothing."""
    maybe = [group["GroupId"] for group in groups if group["GroupName"].startswith(OURS)]
    tags = tags_of(account, maybe)
    ours = {key for key, incident in tags.items() if incident == account.incident_id}
    return sorted(f"@{g['GroupName']}" if g["GroupId"] in ours else str(g["GroupId"]) for g in groups)


def tags_of(account: Account, ids: list[str]) -> dict[str, str]:
    """The incident of each group that carries one."""
    if not ids:
        return {}
    found = account.client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]
    return {group["GroupId"]: incident for group in found if (incident := _incident(group))}


def _incident(group: dict[str, Any]) -> str:
    return next((str(tag["Value"]) for tag in group.get("Tags", []) if tag["Key"] == INCIDENT_TAG), "")


def ids(account: Account, vpc: str, values: list[str]) -> list[str]:
    """The ids of what a plan names.

    Raises:
        PlatformRefused: a group of ours is not there, or lets something through that it should not.
    """
    return [_id_of_ours(account, vpc, value[1:]) if value.startswith("@") else value for value in values]


def _id_of_ours(account: Account, vpc: str, name: str) -> str:
    group = find(account, vpc, name)
    if group is None:
        raise PlatformRefused(
            f"security group {name} is not in {vpc}: it is made before any interface is switched.",
            hint="Somebody deleted it; apply the change again from its start.",
        )
    # Looked at right before each switch: rules that somebody added meanwhile would open what is to be cut.
    rules = rules_of(group)
    if rules != (list(OPEN) if name.endswith(OPEN_SUFFIX) else []):
        raise PlatformRefused(
            f"security group {name} ({group['GroupId']}) has rules that are not ours: {', '.join(rules)}.",
            hint="Take them out: a target in it would not be cut off.",
        )
    return str(group["GroupId"])


def find(account: Account, vpc: str, name: str) -> dict[str, Any] | None:
    """Our group of this name in this VPC; None where there is none that carries our tag."""
    found = _with_name(account, vpc, name)
    return next((group for group in found if _incident(group) == account.incident_id), None)


def _with_name(account: Account, vpc: str, name: str) -> list[dict[str, Any]]:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [name]}]
    found: list[dict[str, Any]] = account.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    return found


def rules_of(group: dict[str, Any]) -> list[str]:
    """Every rule of a group in words, sorted: `egress all 0.0.0.0/0`."""
    sides = (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress"))
    return sorted(rule for side, key in sides for allowed in group.get(key, []) for rule in _in_words(side, allowed))


def _in_words(side: str, allowed: dict[str, Any]) -> list[str]:
    protocol = "all" if allowed["IpProtocol"] == "-1" else allowed["IpProtocol"]
    ports = f" {allowed['FromPort']}-{allowed['ToPort']}" if "FromPort" in allowed else ""
    peers = [
        *(item["CidrIp"] for item in allowed.get("IpRanges", [])),
        *(item["CidrIpv6"] for item in allowed.get("Ipv6Ranges", [])),
        *(item["GroupId"] for item in allowed.get("UserIdGroupPairs", [])),
        *(item["PrefixListId"] for item in allowed.get("PrefixListIds", [])),
    ]
    return [f"{side} {protocol}{ports} {peer}" for peer in peers]


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
    group = find(account, vpc, group_name)
    if value is None:
        return _delete(account, group)
    group = group or _make(account, vpc, group_name)
    if value == NEW:
        return None
    _settle(account, group, wanted)
    now = find(account, vpc, group_name)
    if now is None or rules_of(now) != wanted:
        raise PlatformUnreachable(
            f"security group {group_name} does not read back as written: {rules_of(now) if now else 'not there'}.",
            hint="It is tried again; no interface is switched before it does.",
        )
    return None


def _make(account: Account, vpc: str, name: str) -> dict[str, Any]:
    ec2 = account.client("ec2")
    tags = [{"Key": INCIDENT_TAG, "Value": account.incident_id}, {"Key": "Name", "Value": name}]
    try:
        made = ec2.create_security_group(
            GroupName=name,
            Description=f"Firebreak, incident {account.incident_id}"[:255],
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )
    except ClientError as error:
        if code_of(error) == "InvalidGroup.Duplicate":
            raise _taken(account, vpc, name) from error
        raise
    ec2.get_waiter("security_group_exists").wait(GroupIds=[made["GroupId"]], WaiterConfig=VISIBLE)
    group: dict[str, Any] = ec2.describe_security_groups(GroupIds=[made["GroupId"]])["SecurityGroups"][0]
    return group


def _taken(account: Account, vpc: str, name: str) -> PlatformRefused | PlatformUnreachable:
    if any(_incident(group) != account.incident_id for group in _with_name(account, vpc, name)):
        return PlatformRefused(
            f"a security group {name} is in {vpc} already and does not carry the tag {INCIDENT_TAG} of this incident.",
            hint="It is not ours, so it is left alone; rename it or tag it.",
        )
    return PlatformUnreachable(f"security group {name} is made but not visible yet.", hint="It is tried again.")


def _settle(account: Account, group: dict[str, Any], wanted: list[str]) -> None:
    """Revoke what is too much, then allow what is missing, each in one call so that no half of it can stay."""
    ec2, group_id, rules = account.client("ec2"), group["GroupId"], rules_of(group)
    if not wanted:
        if group.get("IpPermissionsEgress"):
            ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=group["IpPermissionsEgress"])
        if group.get("IpPermissions"):
            ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])
        return
    calls = {"ingress": ec2.authorize_security_group_ingress, "egress": ec2.authorize_security_group_egress}
    for side, call in calls.items():
        missing = [_anybody(rule) for rule in wanted if rule.startswith(side) and rule not in rules]
        if missing:
            call(GroupId=group_id, IpPermissions=missing)


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
