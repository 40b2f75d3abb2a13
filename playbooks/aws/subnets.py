"""Containing a subnet: what its network ACL denies. Pure.

Owns which entries are added and at which numbers. Never calls AWS: `activities.aws.network_acls` writes what is named
here.

    plan_subnet(observation, intent)   # -> PlatformChange
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import JsonValue

from playbooks.aws.holds import WRITE_HOLD, holder_of
from playbooks.aws.observation import AwsObservation
from playbooks.aws.settings import incident
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent
from segmentation.errors import FirebreakError

READ_ACL = ("ec2:DescribeNetworkAcls",)
WRITE_ACL = ("ec2:CreateNetworkAclEntry", "ec2:DeleteNetworkAclEntry", "ec2:ReplaceNetworkAclEntry", *WRITE_HOLD)
# Amazon VPC quotas: 20 a direction, IPv4 and IPv6 and the default denies together. A raised quota is not to be seen.
RULES_PER_DIRECTION = 20
SIDES = ("ingress", "egress")
# Entries with the last numbers are the default denies; nobody can move them.
LAST_RULE = 32766


class NoRoomForRules(FirebreakError):
    """A network ACL has no free number before what it allows, or would get too many entries."""

    code: ClassVar[str] = "no-room-for-rules"


class NothingToDeny(FirebreakError):
    """A subnet is to be contained without saying against whom."""

    code: ClassVar[str] = "nothing-to-deny"


def plan_subnet(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Deny named peers in both directions, before everything that is allowed.

    What another containment denies at this ACL already is held for this one too, and stands until both have let go.

    Raises:
        NothingToDeny: the playbook names no peers.
        NoRoomForRules: the ACL is full.
    """
    subnet = f"subnet/{observation.reference.name}"
    peers = [str(peer) for peer in intent.aws.peers]
    if not peers:
        raise NothingToDeny(
            f"{subnet}: the playbook names no peers that its network ACL is to deny.",
            hint="Set `contain.aws.peers` to addresses or networks.",
        )
    acl = str(observation.value(subnet, "network-acl"))
    table = _Table(observation, acl, holder_of(intent))
    settings = tuple(setting for side in SIDES for setting in table.denials(side, peers))
    others = _others(observation, acl)
    return PlatformChange(
        **incident(intent),
        mechanism="network-acl",
        why="an ACL keeps no state: a denied packet is dropped also in connections that are established",
        settings=settings,
        cuts=(
            f"everything between {subnet} and {', '.join(peers)}",
            *([f"the same for {', '.join(others)}: {acl} guards them too"] if others else []),
        ),
        stays=(f"everything else that {acl} allows",),
        cannot=(
            f"traffic inside {subnet}: an ACL stands at its border only",
            "instance metadata, the VPC's resolver, its time service and DHCP: no ACL filters those",
            *table.shadowed(peers),
        ),
        dead_man=f"nothing ends it: the entries of {acl} deny until somebody takes them back",
    )


def _others(observation: AwsObservation, acl: str) -> list[str]:
    guarded = observation.value(f"network-acl/{acl}", "subnets")
    names = [str(name) for name in guarded] if isinstance(guarded, list) else []
    return [f"subnet/{name}" for name in names if name != observation.reference.name]


@dataclass(frozen=True)
class _Table:
    """The entries of a network ACL, and who holds them."""

    observation: AwsObservation
    acl: str
    holder: str

    def denials(self, side: str, peers: list[str]) -> Iterator[Setting]:
        """What is to be set in one direction: entries of others that deny it already, and new ones."""
        entries = _entries(self.observation, self.acl, side)
        denying = {peer: self.held(side, _denying(entries, peer)) for peer in peers if _denying(entries, peer)}
        for peer, held in denying.items():
            yield from (self.denial(side, number, peer) for number in held)
        missing = [peer for peer in peers if peer not in denying]
        free = _free(entries)
        room = RULES_PER_DIRECTION - len(entries)
        if len(missing) > min(len(free), room):
            raise NoRoomForRules(
                f"network-acl/{self.acl} takes {min(len(free), room)} more entries ({side}) before what it allows, "
                f"{len(missing)} are needed.",
                hint="Free numbers below its first allow, name fewer peers, or contain the instances instead.",
            )
        yield from (self.denial(side, number, peer) for number, peer in zip(free, missing, strict=False))

    def held(self, side: str, numbers: list[int]) -> list[int]:
        """Of entries that deny a peer one that others hold; none where we hold one already, or nobody holds any."""
        holders = [self.holders(side, number) for number in numbers]
        if any(self.holder in names for names in holders):
            return []
        return [number for number, names in zip(numbers, holders, strict=True) if names][:1]

    def holders(self, side: str, number: int) -> list[JsonValue]:
        """Who holds an entry."""
        held = self.observation.value(f"network-acl/{self.acl}", "holders")
        names = held.get(f"{side}/{number}") if isinstance(held, dict) else None
        return names if isinstance(names, list) else []

    def denial(self, side: str, number: int, peer: str) -> Setting:
        """An entry. Whoever else holds it, before all of them there was none."""
        others = self.holders(side, number)
        too = f", as {', '.join(map(str, others))} has it do already" if others else ""
        return Setting(
            resource=f"network-acl-entry/{self.acl}/{side}/{number}",
            attribute=f"entry.{self.holder}",
            before=None,
            after={"action": "deny", "protocol": "-1", "cidr": peer},
            words=f"network-acl/{self.acl}: entry {number} denies {peer} ({side}){too}",
            permissions=(*READ_ACL, *WRITE_ACL),
            shared=True,
        )

    def shadowed(self, peers: list[str]) -> list[str]:
        """What is denied already by nobody's mark may be somebody else's, who may take it away."""
        there = [peer for peer in peers if all(self.is_theirs(side, peer) for side in SIDES)]
        words = f"{', '.join(there)} is denied by entries that may not be ours: they are left as they are"
        return [words] if there else []

    def is_theirs(self, side: str, peer: str) -> bool:
        """Whether a peer is denied, and by no entry that any containment holds."""
        numbers = _denying(_entries(self.observation, self.acl, side), peer)
        return bool(numbers) and not any(self.holders(side, number) for number in numbers)


def _entries(observation: AwsObservation, acl: str, side: str) -> dict[int, dict[str, Any]]:
    prefix = f"network-acl-entry/{acl}/{side}/"
    found = {fact.resource: fact.value for fact in observation.facts if fact.resource.startswith(prefix)}
    return {int(name.rpartition("/")[2]): dict(value) for name, value in found.items() if isinstance(value, dict)}


def _first_allow(entries: dict[int, dict[str, Any]]) -> int:
    return min((number for number, entry in entries.items() if entry["action"] == "allow"), default=LAST_RULE)


def _free(entries: dict[int, dict[str, Any]]) -> list[int]:
    """Free numbers before the first allow, the highest first: entries are tried in the order of their numbers."""
    return [number for number in range(_first_allow(entries) - 1, 0, -1) if number not in entries]


def _denying(entries: dict[int, dict[str, Any]], peer: str) -> list[int]:
    """The numbers at which a peer is denied before anything is allowed."""
    first = _first_allow(entries)
    wanted: JsonValue = {"action": "deny", "protocol": "-1", "cidr": peer}
    return [number for number, entry in entries.items() if number < first and entry == wanted]
