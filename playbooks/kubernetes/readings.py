"""What one policy says of one pod in one direction, whatever its kind. Pure shapes.

Owns the common form into which policies of every kind are read, and the stages in which they are asked one after the
other. Reading is in `network_policies`, `admin_policies`, `cilium_policies` and `calico_policies`; what comes of all
readings together is `playbooks.kubernetes.reach`.

Peers are told apart only as far as the APIs do: `pods` that a selector can name, and `outside`: nodes, pods on their
host's network and everything beyond the cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import JsonValue

from playbooks.kubernetes.observation import PodSeen, PolicySeen

Direction = Literal["ingress", "egress"]
Side = Literal["pods", "outside"]
Sides = frozenset[Side]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
PODS: Sides = frozenset({"pods"})
OUTSIDE: Sides = frozenset({"outside"})
ALL_SIDES: Sides = PODS | OUTSIDE
NO_SIDES: Sides = frozenset()

# Lower is asked first. Calico's tiers have their own order and bring it along; the numbers of the admin tier and of the
# default tier are Calico's too, so that both kinds sort together.
# https://docs.tigera.io/calico/latest/network-policy/policy-tiers/tiered-policy
CILIUM_DENIES = float("-inf")
ADMIN_TIER = 1_000.0
DEFAULT_TIER = 1_000_000.0
BASELINE_TIER = 2_000_000.0
KUBERNETES_ORDER = 1_000.0


class Rule(NamedTuple):
    """One rule. `whole` are the sides of which it leaves nothing out: every peer, protocol and port."""

    action: Literal["allow", "deny", "pass"]
    sides: Sides
    whole: Sides
    words: str


@dataclass(frozen=True)
class Reading:
    """A policy that applies to the pod in this direction; `closes`: what its stage does not name ends there."""

    policy: str
    stage: float
    order: float
    closes: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Unread:
    """A policy of which we can't tell what it does to the pod."""

    policy: str
    reason: str


@dataclass(frozen=True)
class Surroundings:
    """What a policy may ask about besides the pod."""

    namespaces: Mapping[str, Mapping[str, str]]
    tiers: Mapping[str, tuple[float, bool]]

    def namespace_labels(self, namespace: str) -> dict[str, str]:
        """With the label that every API server since 1.21 sets."""
        return {"kubernetes.io/metadata.name": namespace, **self.namespaces.get(namespace, {})}


class Question(NamedTuple):
    """What a policy is read for."""

    policy: PolicySeen
    pod: PodSeen
    direction: Direction
    around: Surroundings

    @property
    def peers_key(self) -> str:
        """Where most kinds have a rule's peers."""
        return "from" if self.direction == "ingress" else "to"

    @property
    def spec(self) -> dict[str, JsonValue]:
        """Of the policy."""
        return self.policy.spec


def title(policy: PolicySeen) -> str:
    """How a policy is named to people: `NetworkPolicy shop/allow-web`."""
    return f"{policy.kind} {policy.namespace}/{policy.name}" if policy.namespace else f"{policy.kind} {policy.name}"


def items(value: JsonValue) -> list[dict[str, JsonValue]]:
    """The objects of a list; nothing where there is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: JsonValue) -> list[str]:
    """The texts of a list; nothing where there is none."""
    return [str(item) for item in value] if isinstance(value, list) else []


def part(value: JsonValue) -> dict[str, JsonValue]:
    """An object; an empty one where there is none."""
    return value if isinstance(value, dict) else {}
