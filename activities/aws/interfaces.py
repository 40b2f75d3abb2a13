"""The security groups of network interfaces.

Owns how they are read and switched. Never decides which interface gets which groups.

    resource "network-interface/eni-1", attribute "groups": ["sg-1"], or ["@firebreak-inc-1-i-1"] for our own
"""

from typing import Any

from pydantic import JsonValue

from activities.aws import groups
from activities.aws.attributes import Account, Attribute, Question
from activities.killswitch.platform import Moment, TargetUnknown
from playbooks.aws.groups import READ_INTERFACE, WRITE_INTERFACE


def _described(account: Account, ids: list[str]) -> dict[str, dict[str, Any]]:
    # Asked by filter: one that is gone must not hide the others.
    return {seen["NetworkInterfaceId"]: seen for seen in _matching(account, "network-interface-id", ids)}


def _attached(account: Account, instances: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {instance: [] for instance in instances}
    for seen in _matching(account, "attachment.instance-id", instances):
        found[seen["Attachment"]["InstanceId"]].append(seen)
    return found


def _matching(account: Account, name: str, values: list[str]) -> list[dict[str, Any]]:
    pages = account.client("ec2").get_paginator("describe_network_interfaces")
    found = pages.paginate(Filters=[{"Name": name, "Values": values}])
    return [interface for page in found for interface in page["NetworkInterfaces"]]


INTERFACES = Question("interfaces", _described)
ATTACHED = Question("attached interfaces", _attached)


def attached(account: Account, instance: str) -> list[dict[str, Any]]:
    """Every interface of an instance, asked of the interfaces: they tell their kind and who manages them too."""
    found = account.ask(ATTACHED, instance) or []
    return sorted(found, key=lambda seen: (seen["Attachment"].get("DeviceIndex", 0), seen["NetworkInterfaceId"]))


def _interface(account: Account, name: str) -> dict[str, Any] | None:
    interface = account.ask(INTERFACES, name)
    if interface is not None:
        account.notes[_vpc_of(name)] = interface["VpcId"]
    return interface


def _vpc_of(name: str) -> str:
    return f"vpc of {name}"


def read_groups(account: Account, name: str) -> JsonValue:
    """The groups of an interface; None where it is gone."""
    interface = _interface(account, name)
    return None if interface is None else list(groups.names(account, interface["Groups"]))


def write_groups(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Have the interface in exactly these groups: AWS replaces the list, it never adds to it."""
    wanted = _resolved(account, name, value)
    account.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=name, Groups=wanted)


def _resolved(account: Account, name: str, value: JsonValue) -> list[str]:
    # An interface never changes its VPC.
    is_there = _vpc_of(name) in account.notes or _interface(account, name) is not None
    if not is_there or not isinstance(value, list):
        raise TargetUnknown(f"network-interface/{name} is not there.", hint="It was detached or deleted meanwhile.")
    return groups.ids(account, account.notes[_vpc_of(name)], [str(item) for item in value])


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
