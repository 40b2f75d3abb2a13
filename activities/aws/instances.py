"""An EC2 instance as it is before a change: every interface, what could replace it, what could destroy the evidence.

Owns what is read of it. Never decides what is set: `playbooks.aws.instances` does.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from activities.aws import balancing, groups, identities, instance_settings, interfaces, own_groups
from activities.aws.attributes import Account, Attributes
from activities.aws.errors import translated
from activities.aws.observing import place_of, tags_of
from activities.killswitch.platform import TargetUnknown
from playbooks.aws.groups import open_name, quarantine_name
from playbooks.aws.instance_permissions import OBSERVE
from playbooks.aws.instance_precautions import (
    CLASSIC_BALANCERS,
    PROFILE,
    PROTECTION,
    SCALING,
    SNAPSHOTS,
    TARGET_GROUPS,
    unread,
)
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.platform_intent import AwsSpec, PlatformIntent
from segmentation.errors import FirebreakError
from segmentation.workloads import Workload

# More than there are parts: those that wait for what the first two find must not keep these from being asked.
AT_ONCE = 12
# No API that only a precaution needs holds up the cut for longer.
PATIENCE_SECONDS = 6.0
ON_THE_WAY_OUT = ("shutting-down", "terminated")


@dataclass(frozen=True)
class _Seen:
    """The instance and its interfaces, for those parts that need to know them."""

    instance: "Future[dict[str, Any]]"
    interfaces: "Future[list[dict[str, Any]]]"


_Part = Callable[[Account, _Seen, str], Iterable[Fact]]


def observe_instance(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:
    """An instance with everything that its containment could touch; what nobody wants is not asked for.

    Raises:
        TargetUnknown: it is terminated, or about to be.
    """
    place = place_of(target)
    # Until it is planned nothing is cut: what needs no other's answer is asked at once.
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="observe")
    try:
        asked = _Seen(pool.submit(_alive, account, place.name), pool.submit(interfaces.attached, account, place.name))
        needed = pool.submit(_group_facts, account, asked, place.name, intent)
        parts = {words: pool.submit(_listed, part, account, asked, place.name) for words, part in _parts(intent.aws)}
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen, attached = asked.instance.result(), asked.interfaces.result()
        facts = [*_instance_facts(seen), *_interface_facts(account, attached), *needed.result()]
        for words, part in parts.items():
            facts += _in_time(words, part, deadline)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return AwsObservation(
        target_id=target.workload_id,
        reference=place,
        kind=target.kind,
        labels=tags_of(seen),
        addresses=tuple(address for interface in attached for address in _addresses(interface)),
        facts=tuple(facts),
    )


def _parts(spec: AwsSpec) -> Iterator[tuple[str, _Part]]:
    """What each precaution that is wanted needs to know."""
    if spec.protect:
        yield PROTECTION, _protection_facts
    if spec.snapshot:
        yield SNAPSHOTS, _snapshot_facts
    if spec.detach:
        yield SCALING, _scaling_facts
        yield TARGET_GROUPS, _registration_facts
        yield CLASSIC_BALANCERS, _classic_facts
    yield PROFILE, _PROFILE_FACTS[spec.profile]


def _listed(part: _Part, account: Account, asked: _Seen, name: str) -> list[Fact]:
    with translated(f"instance/{name}"):
        return list(part(account, asked, name))


def _in_time(words: str, part: "Future[list[Fact]]", deadline: float) -> list[Fact]:
    """What was read, or that it could not be: the cut does not wait for it."""
    try:
        return part.result(max(0.0, deadline - time.monotonic()))
    except TooLate:
        return [unread(words, f"AWS did not answer within {PATIENCE_SECONDS:g} s")]
    except FirebreakError as error:
        return [unread(words, error.summary)]


def _alive(account: Account, name: str) -> dict[str, Any]:
    seen = instance_settings.instance(account, name)
    if seen is None or seen["State"]["Name"] in ON_THE_WAY_OUT:
        raise TargetUnknown(
            f"instance/{name} is not there any more, or is being terminated.",
            hint="Its volumes and their snapshots may be left: look for them by their tags.",
        )
    return seen


def _addresses(interface: dict[str, Any]) -> Iterator[str]:
    for item in interface.get("PrivateIpAddresses", []):
        yield item["PrivateIpAddress"]
        if public := item.get("Association", {}).get("PublicIp"):
            yield public
    yield from (item["Ipv6Address"] for item in interface.get("Ipv6Addresses", []))


def _instance_facts(seen: dict[str, Any]) -> Iterator[Fact]:
    name = seen["InstanceId"]
    values: dict[str, JsonValue] = {
        "vpc": seen.get("VpcId"),
        "state": seen["State"]["Name"],
        "lifecycle": seen.get("InstanceLifecycle", "on-demand"),
    }
    yield from (Fact(resource=f"instance/{name}", attribute=key, value=value) for key, value in values.items())
    for item in seen.get("BlockDeviceMappings", []):
        device = f"block-device/{name}/{item['DeviceName']}"
        yield Fact(resource=device, attribute="volume", value=item["Ebs"]["VolumeId"])
        yield Fact(resource=device, attribute="delete-on-termination", value=item["Ebs"]["DeleteOnTermination"])


def _interface_facts(account: Account, attached: list[dict[str, Any]]) -> Iterator[Fact]:
    for interface in attached:
        holders = {*groups.incidents_of(account, interface["Groups"]).values()} - {account.incident_id}
        values: dict[str, JsonValue] = {
            "groups": list(groups.names(account, interface["Groups"])),
            "subnet": interface["SubnetId"],
            "type": interface.get("InterfaceType", "interface"),
            "requester-managed": bool(interface.get("RequesterManaged")),
            "held-by": next(iter(sorted(holders)), None),
        }
        resource = f"network-interface/{interface['NetworkInterfaceId']}"
        yield from (Fact(resource=resource, attribute=key, value=value) for key, value in values.items())


def _group_facts(account: Account, asked: _Seen, name: str, intent: PlatformIntent) -> list[Fact]:
    vpc = asked.instance.result().get("VpcId", "")
    quarantine = f"{vpc}/{quarantine_name(intent.incident_id, name)}"
    rules = own_groups.read_quarantine(account, quarantine)
    facts = [Fact(resource=f"quarantine-group/{quarantine}", attribute="rules", value=rules)]
    if intent.aws.two_step:
        opened = f"{vpc}/{open_name(intent.incident_id, name)}"
        rules = own_groups.read_open(account, opened)
        facts.append(Fact(resource=f"open-group/{opened}", attribute="rules", value=rules))
    return facts


def _protection_facts(account: Account, _: _Seen, name: str) -> Iterator[Fact]:
    reads = {
        "termination-protection": instance_settings.read_protection,
        "shutdown-behavior": instance_settings.read_shutdown,
    }
    with ThreadPoolExecutor(len(reads), thread_name_prefix="protection") as pool:
        values = {key: pool.submit(read, account, name) for key, read in reads.items()}
    yield from (Fact(resource=f"instance/{name}", attribute=key, value=value.result()) for key, value in values.items())


def _snapshot_facts(account: Account, _: _Seen, name: str) -> Iterator[Fact]:
    value = instance_settings.read_snapshots(account, name)
    yield Fact(resource=f"instance/{name}", attribute="snapshots", value=value)


def _scaling_facts(account: Account, _: _Seen, name: str) -> Iterator[Fact]:
    scaling = balancing.read_scaling(account, name)
    yield Fact(resource=f"instance/{name}", attribute="auto-scaling-group", value=scaling)


def _registration_facts(account: Account, asked: _Seen, name: str) -> Iterator[Fact]:
    every = balancing.target_groups(account)
    attached, vpc = asked.interfaces.result(), asked.instance.result().get("VpcId", "")
    own = frozenset({name, *(address for interface in attached for address in _addresses(interface))})
    for resource in balancing.registrations(account, (g for g in every if g.get("VpcId") == vpc), own):
        yield Fact(resource=resource, attribute="registration", value=balancing.REGISTERED)


def _classic_facts(account: Account, _: _Seen, name: str) -> Iterator[Fact]:
    for resource in balancing.classic_balancers(account, name):
        yield Fact(resource=resource, attribute="registration", value=balancing.REGISTERED)


def _kept_profile_facts(_: Account, asked: _Seen, name: str) -> Iterator[Fact]:
    arn = asked.instance.result().get("IamInstanceProfile", {}).get("Arn")
    yield Fact(resource=f"instance/{name}", attribute="instance-profile", value=arn)


def _detached_profile_facts(account: Account, _: _Seen, name: str) -> Iterator[Fact]:
    arn = instance_settings.read_profile(account, name)
    yield Fact(resource=f"instance/{name}", attribute="instance-profile", value=arn)


def _role_facts(account: Account, asked: _Seen, name: str) -> Iterator[Fact]:
    """The roles behind its profile: only who wants their sessions revoked needs IAM for them."""
    (fact,) = _kept_profile_facts(account, asked, name)
    yield fact
    if fact.value is None:
        return
    profile = account.client("iam").get_instance_profile(InstanceProfileName=str(fact.value).rpartition("/")[2])
    policy = quarantine_name(account.incident_id, name)
    for role in profile["InstanceProfile"]["Roles"]:
        value = identities.ATTRIBUTES["iam-role", "policy"].read(account, f"{role['RoleName']}/{policy}")
        yield Fact(resource=f"iam-role/{role['RoleName']}", attribute=f"policy.{policy}", value=value)


_PROFILE_FACTS: dict[str, _Part] = {
    "keep": _kept_profile_facts,
    "detach": _detached_profile_facts,
    "revoke-sessions": _role_facts,
}
ATTRIBUTES: Attributes = {**instance_settings.ATTRIBUTES, **balancing.ATTRIBUTES}
OBSERVERS = {"ec2-instance": observe_instance}
OBSERVER_PERMISSIONS = {"ec2-instance": OBSERVE}
