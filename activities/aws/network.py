"""The network's targets: a subnet and a security group as they are before a change.

Owns what is read of them, and gathers the network's settings. Never decides what is set: `playbooks.aws` does.
"""

from typing import Any

from activities.aws import group_rules, holds, interfaces, network_acls, own_groups
from activities.aws.attributes import INCIDENT_TAG, Account, Attributes
from activities.aws.observing import place_of, tags_of
from activities.killswitch.platform import TargetUnknown
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.aws.security_groups import READ_RULES
from playbooks.aws.subnets import READ_ACL
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload


def observe_subnet(account: Account, target: Workload, _: PlatformIntent) -> AwsObservation:
    """A subnet, its network ACL with every entry, and who else that guards."""
    place = place_of(target)
    ec2 = account.client("ec2")
    subnet = ec2.describe_subnets(SubnetIds=[place.name])["Subnets"][0]
    filters = [{"Name": "association.subnet-id", "Values": [place.name]}]
    acls = ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    if not acls:
        raise TargetUnknown(f"subnet/{place.name} has no network ACL: it is being deleted.")
    return AwsObservation(
        target_id=target.workload_id,
        reference=place,
        kind=target.kind,
        labels=tags_of(subnet),
        facts=(*_subnet_facts(subnet, acls[0]), *_entry_facts(acls[0])),
    )


def _subnet_facts(subnet: dict[str, Any], acl: dict[str, Any]) -> tuple[Fact, ...]:
    resource = f"subnet/{subnet['SubnetId']}"
    ipv6 = [item["Ipv6CidrBlock"] for item in subnet.get("Ipv6CidrBlockAssociationSet", [])]
    guarded = sorted(association["SubnetId"] for association in acl["Associations"])
    return (
        Fact(resource=resource, attribute="cidrs", value=[subnet["CidrBlock"], *ipv6]),
        Fact(resource=resource, attribute="network-acl", value=acl["NetworkAclId"]),
        Fact(resource=f"network-acl/{acl['NetworkAclId']}", attribute="subnets", value=list(guarded)),
        Fact(resource=f"network-acl/{acl['NetworkAclId']}", attribute="holders", value=holds.holders(acl)),
    )


def _entry_facts(acl: dict[str, Any]) -> tuple[Fact, ...]:
    return tuple(
        Fact(
            resource=f"network-acl-entry/{acl['NetworkAclId']}/{'egress' if entry['Egress'] else 'ingress'}"
            f"/{entry['RuleNumber']}",
            attribute="entry",
            value=network_acls.entry_value(entry),
        )
        for entry in acl["Entries"]
    )


def observe_security_group(account: Account, target: Workload, _: PlatformIntent) -> AwsObservation:
    """A security group, its inbound rules that name addresses, and how many interfaces have it."""
    place = place_of(target)
    ec2 = account.client("ec2")
    group = ec2.describe_security_groups(GroupIds=[place.name])["SecurityGroups"][0]
    pages = ec2.get_paginator("describe_network_interfaces")
    users = pages.paginate(Filters=[{"Name": "group-id", "Values": [place.name]}])
    count = sum(len(page["NetworkInterfaces"]) for page in users)
    return AwsObservation(
        target_id=target.workload_id,
        reference=place,
        kind=target.kind,
        labels=tags_of(group),
        facts=(*_group_facts(group, count), *_rule_facts(account, place.name)),
    )


def _group_facts(group: dict[str, Any], count: int) -> tuple[Fact, ...]:
    resource = f"security-group/{group['GroupId']}"
    return (
        Fact(resource=resource, attribute="name", value=group["GroupName"]),
        Fact(resource=resource, attribute="interfaces", value=count),
        Fact(resource=resource, attribute="incident", value=tags_of(group).get(INCIDENT_TAG)),
        Fact(resource=resource, attribute="held-by", value=holds.group_hold(group)),
    )


def _rule_facts(account: Account, group: str) -> tuple[Fact, ...]:
    rules = (rule for rule in group_rules.inbound(account, group) if rule.get("CidrIpv4") or rule.get("CidrIpv6"))
    return tuple(
        Fact(
            resource=f"security-group-rule/{group_rules.rule_name(rule)}",
            attribute="rule",
            value=group_rules.rule_value(rule),
        )
        for rule in rules
    )


ATTRIBUTES: Attributes = {
    **own_groups.ATTRIBUTES,
    **interfaces.ATTRIBUTES,
    **network_acls.ATTRIBUTES,
    **group_rules.ATTRIBUTES,
    **holds.ATTRIBUTES,
}
OBSERVERS = {"subnet": observe_subnet, "security-group": observe_security_group}
# What an observer calls beside what its settings need.
OBSERVER_PERMISSIONS = {
    "subnet": ("ec2:DescribeSubnets", *READ_ACL),
    "security-group": ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", *READ_RULES),
}
