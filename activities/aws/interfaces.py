"""The security groups of network interfaces.

Owns how they are read and switched. Never decides which interface gets which groups.

    resource "network-interface/eni-1", attribute "groups": ["sg-1"], or ["@firebreak-inc-1-i-1"] for our own
"""

from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws import groups
from activities.aws.attributes import Account, Attribute
from activities.aws.errors import absent
from activities.killswitch.platform import Moment, TargetUnknown
from playbooks.aws.groups import READ_INTERFACE, WRITE_INTERFACE


def _interface(account: Account, name: str) -> dict[str, Any] | None:
    try:
        found = account.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[name])
    except ClientError as error:
        if absent(error):
            return None
        raise
    interface: dict[str, Any] = found["NetworkInterfaces"][0]
    return interface


def read_groups(account: Account, name: str) -> JsonValue:
    """The groups of an interface; None where it is gone."""
    interface = _interface(account, name)
    return None if interface is None else list(groups.names(account, interface["Groups"]))


def write_groups(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Have the interface in exactly these groups: AWS replaces the list, it never adds to it."""
    wanted = _resolved(account, name, value)
    account.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=name, Groups=wanted)


def _resolved(account: Account, name: str, value: JsonValue) -> list[str]:
    interface = _interface(account, name)
    if interface is None or not isinstance(value, list):
        raise TargetUnknown(f"network-interface/{name} is not there.", hint="It was detached or deleted meanwhile.")
    return groups.ids(account, interface["VpcId"], [str(item) for item in value])


def refuse_groups(account: Account, name: str, _: JsonValue) -> str:
    """EC2's dry run of switching: with the groups that it has, as ours are not made yet."""
    interface = _interface(account, name)
    if interface is None:
        return f"network-interface/{name} is not there."
    has = [group["GroupId"] for group in interface["Groups"]]
    account.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=name, Groups=has, DryRun=True)
    return ""


ATTRIBUTES = {
    ("network-interface", "groups"): Attribute(
        read_groups, write_groups, (*READ_INTERFACE, *WRITE_INTERFACE), refuse_groups
    ),
}
