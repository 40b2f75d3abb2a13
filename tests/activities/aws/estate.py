"""What an owner runs in an account: a VPC with IPv6, an instance with three interfaces, each in groups of its own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.killswitch.platform import Moment
from playbooks.platform_intent import AwsSpec, PlatformIntent
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts

IMAGE = "ami-12345678"
LEAN = AwsSpec(detach=False, protect=False, profile="keep")


@dataclass(frozen=True)
class Estate:
    """One VPC and what is in it."""

    accounts: Accounts
    vpc: str
    subnet: str
    groups: tuple[str, ...]
    instance: str
    interfaces: tuple[str, ...]

    @property
    def ec2(self) -> Any:
        return self.accounts.client("ec2")

    @property
    def target(self) -> Workload:
        return self.accounts.target("ec2-instance", self.instance)

    def groups_of(self) -> dict[str, list[str]]:
        """The groups of every interface, as the owner reads them."""
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=list(self.interfaces))["NetworkInterfaces"]
        seen = {each["NetworkInterfaceId"]: sorted(group["GroupId"] for group in each["Groups"]) for each in found}
        return {interface: seen[interface] for interface in self.interfaces}

    def put(self, interface: str, *groups: str) -> None:
        """Somebody else puts an interface into groups."""
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=list(groups))

    def firebreak_groups(self) -> dict[str, dict[str, Any]]:
        """Every group that Firebreak made in the VPC, by name."""
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}]
        found = self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return {group["GroupName"]: group for group in found if group["GroupName"].startswith("firebreak-")}

    def lets_through(self, interface: str) -> set[str]:
        """What the groups of an interface allow together: AWS unites them."""
        groups = self.ec2.describe_security_groups(GroupIds=self.groups_of()[interface])["SecurityGroups"]
        return {f"{g['GroupId']} {side} {rule}" for g in groups for side in SIDES for rule in g[side]}

    def cut_off(self) -> list[bool]:
        """Of every interface, whether its groups let nothing through."""
        return [not self.lets_through(interface) for interface in self.interfaces]


SIDES = ("IpPermissions", "IpPermissionsEgress")


def build(accounts: Accounts, interfaces: int = 3, *, ipv6: bool = True) -> Estate:
    """A VPC, three groups, and an instance with as many interfaces."""
    ec2 = accounts.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    groups = tuple(_group(ec2, vpc, name) for name in ("web", "admin", "backup"))
    ran = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet, SecurityGroupIds=[groups[0]])
    instance = ran["Instances"][0]
    more = [_interface(ec2, subnet, groups[: at + 1]) for at in range(1, interfaces)]
    for at, interface in enumerate(more, start=1):
        ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=instance["InstanceId"], DeviceIndex=at)
    first = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    return Estate(accounts, vpc, subnet, groups, instance["InstanceId"], (first, *more))


def _group(ec2: Any, vpc: str, name: str) -> str:
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, CidrIp="10.0.0.0/8", IpProtocol="tcp", FromPort=443, ToPort=443)
    return str(group)


def _interface(ec2: Any, subnet: str, groups: tuple[str, ...]) -> str:
    made = ec2.create_network_interface(SubnetId=subnet, Groups=list(groups))
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def intent_for(target: Workload, incident: str = "inc-1", spec: AwsSpec = LEAN) -> PlatformIntent:
    """What an incident wants of a target."""
    return PlatformIntent(
        incident_id=incident,
        target_id=target.workload_id,
        at=datetime.now(UTC),
        lease_seconds=900,
        ends="open",
        aws=spec,
    )


def moment() -> Moment:
    """Now, and a lease from now."""
    now = datetime.now(UTC)
    return Moment(applied_at=now, lease_until=now + timedelta(minutes=15))
