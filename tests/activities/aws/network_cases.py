"""Instances, subnets and security groups, each as its owner prepares it, looks at it and changes it by hand."""

from typing import Any

from playbooks.platform_intent import AwsSpec
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import Case, State
from tests.activities.aws.estate import SIDES, build

PEER = "203.0.113.0/24"
PEER6 = "2001:db8::/32"
EVERYBODY = {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "everybody"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}


def prepare_instance(accounts: Accounts, _: str) -> str:
    return build(accounts).instance


def look_at_instance(accounts: Accounts, name: str) -> State:
    """Its interfaces' groups, every group of its VPC with its rules, and whether it can be terminated."""
    ec2 = accounts.client("ec2")
    filters = [{"Name": "attachment.instance-id", "Values": [name]}]
    interfaces = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    vpc = [{"Name": "vpc-id", "Values": [interfaces[0]["VpcId"]]}]
    groups = ec2.describe_security_groups(Filters=vpc)["SecurityGroups"]
    protection = ec2.describe_instance_attribute(InstanceId=name, Attribute="disableApiTermination")
    return {
        "interfaces": {
            each["NetworkInterfaceId"]: sorted(group["GroupId"] for group in each["Groups"]) for each in interfaces
        },
        "groups": {group["GroupId"]: _rules(group) for group in groups},
        "protected": protection["DisableApiTermination"]["Value"],
    }


def _rules(group: dict[str, Any]) -> list[str]:
    return sorted(f"{side} {rule}" for side in SIDES for rule in group[side])


def instance_open_to(state: State) -> set[str]:
    """What each interface lets through: its groups are united."""
    return {
        f"{interface} {rule}"
        for interface, groups in state["interfaces"].items()
        for group in groups
        for rule in state["groups"][group]
    }


def move_an_interface_by_hand(accounts: Accounts, name: str) -> None:
    """Somebody takes the second interface into no group but the VPC's default one, which lets nothing in."""
    interface = sorted(look_at_instance(accounts, name)["interfaces"])[1]
    ec2 = accounts.client("ec2")
    vpc = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["VpcId"]
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    default = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[default])


def prepare_subnet(accounts: Accounts, _: str) -> str:
    """A subnet with an ACL of its own that allows all and denies somebody already."""
    ec2 = accounts.client("ec2")
    subnet = build(accounts, interfaces=1).subnet
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (False, True):
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=100, Protocol="-1", RuleAction="allow", Egress=egress, CidrBlock="0.0.0.0/0"
        )
        ec2.create_network_acl_entry(
            NetworkAclId=acl, RuleNumber=99, Protocol="-1", RuleAction="deny", Egress=egress, CidrBlock="192.0.2.0/24"
        )
    seen = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
    association = next(each for each in seen[0]["Associations"] if each["SubnetId"] == subnet)
    ec2.replace_network_acl_association(AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl)
    return str(subnet)


def look_at_subnet(accounts: Accounts, name: str) -> State:
    filters = [{"Name": "association.subnet-id", "Values": [name]}]
    (acl,) = accounts.client("ec2").describe_network_acls(Filters=filters)["NetworkAcls"]
    return {
        f"{'egress' if entry['Egress'] else 'ingress'} {entry['RuleNumber']}": [
            entry["RuleAction"],
            entry.get("CidrBlock") or entry.get("Ipv6CidrBlock"),
        ]
        for entry in acl["Entries"]
    }


def subnet_open_to(state: State) -> set[str]:
    """Who gets through in which direction: the first entry that names a peer decides, and here none overlap."""
    return {
        f"{side} {peer}"
        for side in ("ingress", "egress")
        for peer in (PEER, PEER6, "192.0.2.0/24")
        if not any(key.startswith(side) and entry == ["deny", peer] for key, entry in state.items())
    }


def replace_an_entry_by_hand(accounts: Accounts, name: str) -> None:
    """Somebody denies another network at the number of ours."""
    ec2 = accounts.client("ec2")
    filters = [{"Name": "association.subnet-id", "Values": [name]}]
    (acl,) = ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    ours = [entry for entry in acl["Entries"] if entry.get("CidrBlock") == PEER and not entry["Egress"]]
    if ours:
        ec2.replace_network_acl_entry(
            NetworkAclId=acl["NetworkAclId"],
            RuleNumber=ours[0]["RuleNumber"],
            Protocol="-1",
            RuleAction="deny",
            Egress=False,
            CidrBlock="203.0.0.0/8",
        )


def prepare_group(accounts: Accounts, name: str) -> str:
    """A group that opens SSH to everybody with words and tags, a range with RDP in it, and HTTPS to the company."""
    ec2 = accounts.client("ec2")
    group = ec2.create_security_group(GroupName=name, Description="jump")["GroupId"]
    tags = [{"Key": "owner", "Value": "ops"}]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **EVERYBODY}],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": tags}],
    )
    for low, high, cidr in ((3000, 4000, "0.0.0.0/0"), (443, 443, "10.0.0.0/8")):
        ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=low, ToPort=high, CidrIp=cidr)
    return str(group)


def look_at_group(accounts: Accounts, name: str) -> State:
    filters = [{"Name": "group-id", "Values": [name]}]
    rules = accounts.client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    return {
        f"{rule['IsEgress']} {rule['IpProtocol']} {rule['FromPort']} {rule.get('CidrIpv4') or rule.get('CidrIpv6')}": (
            rule["ToPort"],
            rule.get("Description"),
            rule.get("Tags"),
        )
        for rule in rules
    }


def describe_a_rule_by_hand(accounts: Accounts, name: str) -> None:
    """Somebody allows SSH from everybody again, in other words."""
    ec2 = accounts.client("ec2")
    if not any(key.startswith("False tcp 22 0.0.0.0/0") for key in look_at_group(accounts, name)):
        everybody = [{"CidrIp": "0.0.0.0/0", "Description": "again"}]
        ec2.authorize_security_group_ingress(
            GroupId=name, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": everybody}]
        )


INSTANCE = Case(
    "ec2-instance",
    prepare_instance,
    look_at_instance,
    instance_open_to,
    move_an_interface_by_hand,
    AwsSpec(detach=False, profile="keep"),
)
SUBNET = Case(
    "subnet",
    prepare_subnet,
    look_at_subnet,
    subnet_open_to,
    replace_an_entry_by_hand,
    AwsSpec(peers=[PEER, PEER6]),  # type: ignore[arg-type] # pydantic reads networks from text
)
GROUP = Case("security-group", prepare_group, look_at_group, set, describe_a_rule_by_hand)
NETWORK_CASES = {"instance": INSTANCE, "subnet": SUBNET, "security-group": GROUP}
