"""The security groups that are ours: found by name, VPC and tag, or by id.

Owns the look-up, and the names by which plans speak of them: an id is not known when a plan is made, so a value says
`@name`. Never changes one: `activities.aws.own_groups` does.
"""

from typing import Any

from activities.aws.attributes import INCIDENT_TAG, Account, Question
from activities.killswitch.platform import PlatformRefused, PlatformUnreachable
from playbooks.aws.groups import OPEN, OPEN_SUFFIX, OURS


def _named(account: Account, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for group in _matching(account, "group-name", names):
        found.setdefault(group["GroupName"], []).append(group)
    return found


def _with_id(account: Account, ids: list[str]) -> dict[str, dict[str, Any]]:
    return {group["GroupId"]: group for group in _matching(account, "group-id", ids)}


def _matching(account: Account, name: str, values: list[str]) -> list[dict[str, Any]]:
    pages = account.client("ec2").get_paginator("describe_security_groups")
    found = pages.paginate(Filters=[{"Name": name, "Values": values}])
    return [group for page in found for group in page["SecurityGroups"]]


NAMED = Question("groups by name", _named)
BY_ID = Question("groups by id", _with_id)


def names(account: Account, groups: list[dict[str, Any]]) -> list[str]:
    """The groups of an interface as plans have them: ids, and `@name` for our own. Their order means nothing."""
    incidents = incidents_of(account, groups)
    ours = {key for key, incident in incidents.items() if incident == account.incident_id}
    return sorted(f"@{g['GroupName']}" if g["GroupId"] in ours else str(g["GroupId"]) for g in groups)


def incidents_of(account: Account, groups: list[dict[str, Any]]) -> dict[str, str]:
    """The incident of each of an interface's groups that carries one; what is called otherwise was not made by us.

    Raises:
        PlatformUnreachable: AWS does not show a group that the interface is in.
    """
    found = {}
    for group_id in sorted({group["GroupId"] for group in groups if group["GroupName"].startswith(OURS)}):
        group = account.ask(BY_ID, group_id)
        if group is None:
            raise PlatformUnreachable(f"security group {group_id} is in use, not visible.", hint="It is tried again.")
        found[group_id] = _incident(group)
    return {group_id: incident for group_id, incident in found.items() if incident}


def _incident(group: dict[str, Any]) -> str:
    return next((str(tag["Value"]) for tag in group.get("Tags", []) if tag["Key"] == INCIDENT_TAG), "")


def is_ours(account: Account, group: dict[str, Any]) -> bool:
    """Whether this incident made the group."""
    return _incident(group) == account.incident_id


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
    return next((group for group in with_name(account, vpc, name) if is_ours(account, group)), None)


def with_name(account: Account, vpc: str, name: str) -> list[dict[str, Any]]:
    """Every group of this name in this VPC, whoever made it."""
    return [group for group in account.ask(NAMED, name) or [] if group["VpcId"] == vpc]


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
