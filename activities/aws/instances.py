"""An EC2 instance as it is before a change: every interface, what could replace it, what could destroy the evidence.

Owns what is read of it. Never decides what is set: `playbooks.aws.instances` does.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from pydantic import JsonValue

from activities.aws import balancing, groups, identities, instance_settings
from activities.aws.attributes import Account, Attributes
from activities.aws.observing import place_of, tags_of
from activities.killswitch.platform import TargetUnknown
from playbooks.aws.groups import open_name, quarantine_name
from playbooks.aws.instance_permissions import OBSERVE
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload

# More than the parts, three of which one part waits for: a pool that is full of waiting parts would never end.
AT_ONCE = 12
ON_THE_WAY_OUT = ("shutting-down", "terminated")


def observe_instance(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:
    """An instance with everything that its containment could touch.

    Raises:
        TargetUnknown: it is terminated, or about to be.
    """
    place = place_of(target)
    # Until it is planned nothing is cut: what needs no other's answer is asked at once.
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="observe") as pool:
        attached = pool.submit(_interfaces, account, place.name)
        seen = _alive(account, place.name)
        interfaces = attached.result()
        parts: tuple[Callable[[], Iterable[Fact]], ...] = (
            partial(_instance_facts, account, seen, pool),
            partial(_interface_facts, account, interfaces),
            partial(_group_facts, account, seen, intent),
            partial(_scaling_facts, account, seen),
            partial(_registration_facts, account, seen, interfaces),
            partial(_classic_facts, account, seen),
            partial(_profile_facts, account, seen),
        )
        asked = [pool.submit(_listed, part) for part in parts]
        facts = tuple(fact for part in asked for fact in part.result())
    return AwsObservation(
        target_id=target.workload_id,
        reference=place,
        kind=target.kind,
        labels=tags_of(seen),
        addresses=tuple(address for interface in interfaces for address in _addresses(interface)),
        facts=facts,
    )


def _listed(part: Callable[[], Iterable[Fact]]) -> list[Fact]:
    return list(part())


def _alive(account: Account, name: str) -> dict[str, Any]:
    seen = instance_settings.instance(account, name)
    if seen is None or seen["State"]["Name"] in ON_THE_WAY_OUT:
        raise TargetUnknown(
            f"instance/{name} is not there any more, or is being terminated.",
            hint="Its volumes and their snapshots may be left: look for them by their tags.",
        )
    return seen


def _interfaces(account: Account, name: str) -> list[dict[str, Any]]:
    """Every interface that is attached, asked of the interfaces: they tell their kind and who manages them too."""
    filters = [{"Name": "attachment.instance-id", "Values": [name]}]
    pages = account.client("ec2").get_paginator("describe_network_interfaces").paginate(Filters=filters)
    found = [interface for page in pages for interface in page["NetworkInterfaces"]]
    return sorted(
        found, key=lambda interface: (interface["Attachment"].get("DeviceIndex", 0), interface["NetworkInterfaceId"])
    )


def _addresses(interface: dict[str, Any]) -> Iterator[str]:
    for item in interface.get("PrivateIpAddresses", []):
        yield item["PrivateIpAddress"]
        if public := item.get("Association", {}).get("PublicIp"):
            yield public
    yield from (item["Ipv6Address"] for item in interface.get("Ipv6Addresses", []))


def _instance_facts(account: Account, seen: dict[str, Any], pool: Executor) -> Iterator[Fact]:
    name = seen["InstanceId"]
    reads = {
        "termination-protection": instance_settings.read_protection,
        "shutdown-behavior": instance_settings.read_shutdown,
        "snapshots": instance_settings.read_snapshots,
    }
    asked = {key: pool.submit(read, account, name) for key, read in reads.items()}
    values: dict[str, JsonValue] = {
        "vpc": seen.get("VpcId"),
        "state": seen["State"]["Name"],
        "lifecycle": seen.get("InstanceLifecycle", "on-demand"),
        **{key: answer.result() for key, answer in asked.items()},
    }
    yield from (Fact(resource=f"instance/{name}", attribute=key, value=value) for key, value in values.items())
    for item in seen.get("BlockDeviceMappings", []):
        device = f"block-device/{name}/{item['DeviceName']}"
        yield Fact(resource=device, attribute="volume", value=item["Ebs"]["VolumeId"])
        yield Fact(resource=device, attribute="delete-on-termination", value=item["Ebs"]["DeleteOnTermination"])


def _interface_facts(account: Account, interfaces: list[dict[str, Any]]) -> Iterator[Fact]:
    ids = sorted({group["GroupId"] for interface in interfaces for group in interface["Groups"]})
    incidents = groups.tags_of(account, ids)
    for interface in interfaces:
        holders = {incidents.get(group["GroupId"], "") for group in interface["Groups"]} - {"", account.incident_id}
        values: dict[str, JsonValue] = {
            "groups": list(groups.names(account, interface["Groups"])),
            "subnet": interface["SubnetId"],
            "type": interface.get("InterfaceType", "interface"),
            "requester-managed": bool(interface.get("RequesterManaged")),
            "held-by": next(iter(sorted(holders)), None),
        }
        resource = f"network-interface/{interface['NetworkInterfaceId']}"
        yield from (Fact(resource=resource, attribute=key, value=value) for key, value in values.items())


def _group_facts(account: Account, seen: dict[str, Any], intent: PlatformIntent) -> Iterator[Fact]:
    vpc, name = seen.get("VpcId", ""), seen["InstanceId"]
    quarantine = f"{vpc}/{quarantine_name(intent.incident_id, name)}"
    opened = f"{vpc}/{open_name(intent.incident_id, name)}"
    rules = groups.read_quarantine(account, quarantine)
    yield Fact(resource=f"quarantine-group/{quarantine}", attribute="rules", value=rules)
    if intent.aws.two_step:
        yield Fact(resource=f"open-group/{opened}", attribute="rules", value=groups.read_open(account, opened))


def _scaling_facts(account: Account, seen: dict[str, Any]) -> Iterator[Fact]:
    name = seen["InstanceId"]
    scaling = balancing.read_scaling(account, name)
    yield Fact(resource=f"instance/{name}", attribute="auto-scaling-group", value=scaling)


def _registration_facts(account: Account, seen: dict[str, Any], interfaces: list[dict[str, Any]]) -> Iterator[Fact]:
    own = frozenset({seen["InstanceId"], *(address for interface in interfaces for address in _addresses(interface))})
    for resource in balancing.registrations(account, seen.get("VpcId", ""), own):
        yield Fact(resource=resource, attribute="registration", value=balancing.REGISTERED)


def _classic_facts(account: Account, seen: dict[str, Any]) -> Iterator[Fact]:
    for resource in balancing.classic_balancers(account, seen["InstanceId"]):
        yield Fact(resource=resource, attribute="registration", value=balancing.REGISTERED)


def _profile_facts(account: Account, seen: dict[str, Any]) -> Iterator[Fact]:
    name = seen["InstanceId"]
    arn = instance_settings.read_profile(account, name)
    yield Fact(resource=f"instance/{name}", attribute="instance-profile", value=arn)
    if arn is None:
        return
    profile = account.client("iam").get_instance_profile(InstanceProfileName=str(arn).rpartition("/")[2])
    policy = quarantine_name(account.incident_id, name)
    for role in profile["InstanceProfile"]["Roles"]:
        value = identities.ATTRIBUTES["iam-role", "policy"].read(account, f"{role['RoleName']}/{policy}")
        yield Fact(resource=f"iam-role/{role['RoleName']}", attribute=f"policy.{policy}", value=value)


ATTRIBUTES: Attributes = {**instance_settings.ATTRIBUTES, **balancing.ATTRIBUTES}
OBSERVERS = {"ec2-instance": observe_instance}
OBSERVER_PERMISSIONS = {"ec2-instance": OBSERVE}
