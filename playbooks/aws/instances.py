"""Containing an EC2 instance: every interface into a security group that lets nothing through. Pure.

Owns what is set for it, in which order, and what that does not cut. Never calls AWS: `activities.aws.instances` and
`activities.aws.interfaces` read and write what is named here.

    plan_instance(observation, intent)   # -> PlatformChange
"""

from typing import ClassVar

from pydantic import JsonValue

from playbooks.aws.denials import denial, denial_document, end_in_words
from playbooks.aws.groups import (
    NEW,
    OPEN,
    READ_GROUPS,
    READ_INTERFACE,
    WRITE_INTERFACE,
    WRITE_OPEN_GROUP,
    WRITE_QUARANTINE_GROUP,
    open_name,
    quarantine_name,
)
from playbooks.aws.identities import ROLE_POLICY
from playbooks.aws.instance_permissions import PROFILE
from playbooks.aws.instance_precautions import left_out, precautions
from playbooks.aws.instance_words import CANNOT, about_interfaces, about_profile, cuts
from playbooks.aws.observation import AwsObservation
from playbooks.aws.settings import Values, incident, needed, setting
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent, TargetHeld
from segmentation.errors import FirebreakError

ON_HOLD = "holds until Firebreak takes the interfaces out of the group: nothing in AWS ends a security group by itself"


class NothingToCut(FirebreakError):
    """An instance has no interface whose groups anybody but AWS may switch."""

    code: ClassVar[str] = "nothing-to-cut"


def plan_instance(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Evidence first, then the cut, then what its role still could do from elsewhere.

    Raises:
        NothingToCut: none of its interfaces can be switched.
        TargetHeld: another incident contains it.
    """
    _refuse_held(observation, intent)
    _refuse_without_interfaces(observation)
    instance = f"instance/{observation.reference.name}"
    sessions = _sessions(observation, intent)
    return PlatformChange(
        **incident(intent),
        mechanism="security-group",
        why="its rules are enforced outside the instance, so nobody on it can take them back",
        settings=(
            *precautions(observation, intent.aws),
            *_groups(observation, intent),
            *_switches(observation, intent),
            *needed(*sessions, _profile(observation, intent)),
        ),
        cuts=cuts(observation, intent.aws),
        stays=("what runs on it: it is neither stopped nor rebooted, so its memory can be captured",),
        cannot=(
            *about_interfaces(observation),
            *(CANNOT["two-step"] if intent.aws.two_step else CANNOT["one-step"]),
            *CANNOT["always"],
            *about_profile(observation, intent.aws),
            *left_out(observation),
        ),
        dead_man=_dead_man(observation, intent, instance),
    )


def _refuse_held(observation: AwsObservation, intent: PlatformIntent) -> None:
    held = {interface: observation.value(interface, "held-by") for interface in interfaces(observation)}
    others = [(key, holder) for key, holder in held.items() if holder not in (None, intent.incident_id)]
    if others:
        interface, holder = others[0]
        raise TargetHeld(
            f"instance/{observation.reference.name} is contained by {holder} already: {interface} is in its group.",
            hint="Release it there first, or respond to it in that incident.",
        )


def _refuse_without_interfaces(observation: AwsObservation) -> None:
    if not _switchable(observation):
        raise NothingToCut(
            f"instance/{observation.reference.name} has {len(interfaces(observation))} interfaces, and none of them "
            "is one whose security groups we may switch.",
            hint="Contain its subnet, or stop it once its memory is captured.",
        )


def interfaces(observation: AwsObservation) -> tuple[str, ...]:
    """Every interface of the instance."""
    return observation.resources("network-interface")


def _switchable(observation: AwsObservation) -> tuple[str, ...]:
    """A service that manages an interface is the only one that may switch its groups (RequesterManaged, EC2 API)."""
    return tuple(each for each in interfaces(observation) if not observation.value(each, "requester-managed"))


def _groups(observation: AwsObservation, intent: PlatformIntent) -> tuple[Setting, ...]:
    """Our own groups, done before any interface is switched into one."""
    vpc = observation.value(f"instance/{observation.reference.name}", "vpc")
    name, opened = _names(observation, intent)
    quarantine = _group(
        observation,
        f"quarantine-group/{vpc}/{name}",
        [],
        f"{vpc}: make security group {name} and revoke everything that AWS lets a new one do",
        (*READ_GROUPS, *WRITE_QUARANTINE_GROUP),
    )
    between = _group(
        observation,
        f"open-group/{vpc}/{opened}",
        list(OPEN),
        f"{vpc}: make security group {opened} that allows everything, for the moment between the two steps",
        (*READ_GROUPS, *WRITE_OPEN_GROUP),
    )
    return needed(between if intent.aws.two_step else None, quarantine)


def _group(
    observation: AwsObservation, resource: str, after: JsonValue, words: str, permissions: tuple[str, ...]
) -> Setting | None:
    now = observation.value(resource, "rules")
    made = setting(resource, "rules", Values(now, None, after), words, permissions)
    # A crash between making and filling it leaves it new: a step on the way, not somebody else's doing. Whatever else
    # is in a group of ours is taken out of it.
    return made.model_copy(update={"via": NEW if now is None else now}) if made else None


def _names(observation: AwsObservation, intent: PlatformIntent) -> tuple[str, str]:
    instance = observation.reference.name
    return quarantine_name(intent.incident_id, instance), open_name(intent.incident_id, instance)


def _switches(observation: AwsObservation, intent: PlatformIntent) -> tuple[Setting, ...]:
    return needed(*(_switch(observation, interface, intent) for interface in _switchable(observation)))


def _switch(observation: AwsObservation, interface: str, intent: PlatformIntent) -> Setting | None:
    name, opened = (f"@{each}" for each in _names(observation, intent))
    seen = observation.value(interface, "groups")
    now: list[JsonValue] = [str(group) for group in seen] if isinstance(seen, list) else []
    # Somebody may have put an interface that is in our group into another one too: that one is what was before.
    before = [group for group in now if group not in (name, opened)]
    mixed = before != now
    # Left between two steps, what was before is in the earlier plan alone; without it, it is never to be open again.
    restored = before or [name]
    words = f"{interface}: take it out of {', '.join(map(str, before)) or 'every group'} and into {name[1:]} alone"
    switch = setting(interface, "groups", Values(now, restored, [name]), words, (*READ_INTERFACE, *WRITE_INTERFACE))
    if switch is None or not (mixed or intent.aws.two_step):
        return switch
    if mixed:
        return switch.model_copy(update={"via": now})
    return switch.model_copy(
        update={"via": [opened], "words": f"{words}; for a moment it is in {opened[1:]}, open to everybody"}
    )


def _sessions(observation: AwsObservation, intent: PlatformIntent) -> tuple[Setting | None, ...]:
    if intent.aws.profile != "revoke-sessions":
        return ()
    return tuple(_revoked(observation, role, intent) for role in observation.resources("iam-role"))


def _revoked(observation: AwsObservation, role: str, intent: PlatformIntent) -> Setting | None:
    # One for each instance, like its group: releasing one must not lift what another of the same role is held by.
    attribute = f"policy.{quarantine_name(intent.incident_id, observation.reference.name)}"
    now = observation.value(role, attribute)
    after = denial_document(denial(intent, sessions_only=True))
    words = f"{role}: deny everything to every session it has now, on other instances too until they get new ones"
    revoked = setting(role, attribute, Values(now, None, after), words, ROLE_POLICY)
    # The network is cut whether or not this works; what failed is in the record, and it does not read back.
    return revoked.model_copy(update={"essential": False}) if revoked else None


def _profile(observation: AwsObservation, intent: PlatformIntent) -> Setting | None:
    instance = f"instance/{observation.reference.name}"
    now = observation.value(instance, "instance-profile")
    if intent.aws.profile != "detach" or now is None:
        return None
    words = f"{instance}: take its instance profile away"
    detached = setting(instance, "instance-profile", Values(now, now, None), words, PROFILE)
    return detached.model_copy(update={"essential": False}) if detached else None


def _dead_man(observation: AwsObservation, intent: PlatformIntent, instance: str) -> str:
    revokes = intent.aws.profile == "revoke-sessions" and observation.resources("iam-role")
    held = f"the network cut of {instance} {ON_HOLD}"
    return f"{held}; of its role, {end_in_words(intent)}" if revokes else held
