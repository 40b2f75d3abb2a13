"""Inbound rules of other people's security groups.

Owns how a rule is read, revoked and allowed again as it was. Outbound rules open nothing, and are left alone.

    resource "security-group-rule/sg-1/tcp/22..22/0.0.0.0/0", attribute "rule": {"description": "ssh", "tags": {}}
"""

from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import Account, Attribute
from activities.aws.errors import absent
from activities.killswitch.platform import Moment
from playbooks.aws.security_groups import READ_RULES, WRITE_RULE


def rule_name(rule: dict[str, Any]) -> str:
    """What makes a rule itself: everything but its id, words and tags."""
    ports = f"{rule['FromPort']}..{rule['ToPort']}"
    return f"{rule['GroupId']}/{rule['IpProtocol']}/{ports}/{rule.get('CidrIpv4') or rule.get('CidrIpv6')}"


def rule_value(rule: dict[str, Any]) -> dict[str, JsonValue]:
    """What is restored with a rule."""
    tags = {str(tag["Key"]): str(tag["Value"]) for tag in rule.get("Tags", [])}
    return {"description": rule.get("Description", ""), "tags": dict(sorted(tags.items()))}


def inbound(account: Account, group: str) -> list[dict[str, Any]]:
    """Every inbound rule of a group."""
    pages = account.client("ec2").get_paginator("describe_security_group_rules")
    found = pages.paginate(Filters=[{"Name": "group-id", "Values": [group]}])
    return [rule for page in found for rule in page["SecurityGroupRules"] if not rule["IsEgress"]]


def read_rule(account: Account, name: str) -> JsonValue:
    """What goes with the rule; None where there is no such rule."""
    found = (rule for rule in inbound(account, name.partition("/")[0]) if rule_name(rule) == name)
    return next((rule_value(rule) for rule in found), None)


def write_rule(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Revoke the rule, or allow it again with its description and tags."""
    group, permission = _permission(name, value)
    # One that is there in other words is in the way of ours: a rule is the same whatever its description says.
    if value is None or read_rule(account, name) is not None:
        _revoke(account, group, permission)
    if value is not None:
        account.client("ec2").authorize_security_group_ingress(
            GroupId=group, IpPermissions=[permission], **_tagged(value)
        )


def _revoke(account: Account, group: str, permission: dict[str, Any]) -> None:
    try:
        account.client("ec2").revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])
    except ClientError as error:
        if not absent(error):
            raise


def _permission(name: str, value: JsonValue) -> tuple[str, dict[str, Any]]:
    group, protocol, ports, cidr = name.split("/", 3)
    low, _, high = ports.partition("..")
    words = str(value.get("description") or "") if isinstance(value, dict) else ""
    item = {"CidrIpv6" if ":" in cidr else "CidrIp": cidr, **({"Description": words} if words else {})}
    ranges = {"Ipv6Ranges" if ":" in cidr else "IpRanges": [item]}
    between = {} if protocol == "-1" else {"FromPort": int(low), "ToPort": int(high)}
    return group, {"IpProtocol": protocol, **between, **ranges}


def _tagged(value: JsonValue) -> dict[str, Any]:
    tags = value.get("tags") if isinstance(value, dict) else None
    if not isinstance(tags, dict) or not tags:
        return {}
    pairs = [{"Key": key, "Value": str(text)} for key, text in tags.items()]
    return {"TagSpecifications": [{"ResourceType": "security-group-rule", "Tags": pairs}]}


def refuse_rule(account: Account, name: str, value: JsonValue) -> str:
    """EC2's dry run of revoking, or of allowing again."""
    group, permission = _permission(name, value)
    ec2 = account.client("ec2")
    call = ec2.revoke_security_group_ingress if value is None else ec2.authorize_security_group_ingress
    call(GroupId=group, IpPermissions=[permission], DryRun=True)
    return ""


ATTRIBUTES = {
    ("security-group-rule", "rule"): Attribute(read_rule, write_rule, (*READ_RULES, *WRITE_RULE), refuse_rule),
}
