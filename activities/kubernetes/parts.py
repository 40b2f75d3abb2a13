"""What a containment sets in objects that exist: labels of pods and nodes, a node's cordon, a controller's replicas.

Owns where each of them is and what patch sets it. Never creates or deletes an object.
"""

from dataclasses import dataclass

from pydantic import JsonValue

from activities.killswitch.platform import PlatformRefused
from activities.kubernetes.calls import Raw
from activities.kubernetes.places import CONTROLLERS, NODES, PODS, Place
from activities.kubernetes.settings import Attributes, Names, part_attribute

# A Job and a DaemonSet have no number of replicas to set.
SCALED = ("Deployment", "StatefulSet", "ReplicaSet")


@dataclass(frozen=True)
class PodLabels:
    """`pod/<namespace>/<name>`, or with a uid behind it to mean that very pod and no successor of the same name."""

    counts: tuple[int, ...] = (2, 3)

    def place(self, names: Names) -> Place:
        """The pod."""
        return Place(PODS, names[0], names[1])

    def value(self, found: Raw, names: Names) -> JsonValue:
        """All its labels."""
        if len(names) > 2 and found["metadata"]["uid"] != names[2]:  # noqa: PLR2004 - the optional third
            return None
        return dict(found["metadata"].get("labels") or {})

    def body(self, found: Raw, wanted: JsonValue) -> Raw:
        """Sets and removes exactly what differs."""
        return _labels(found, wanted)


@dataclass(frozen=True)
class NodeLabels:
    """`node/<name>`."""

    counts: tuple[int, ...] = (1,)

    def place(self, names: Names) -> Place:
        """The node."""
        return Place(NODES, name=names[0])

    def value(self, found: Raw, _names: Names) -> JsonValue:
        """All its labels."""
        return dict(found["metadata"].get("labels") or {})

    def body(self, found: Raw, wanted: JsonValue) -> Raw:
        """Sets and removes exactly what differs."""
        return _labels(found, wanted)


@dataclass(frozen=True)
class Cordon:
    """`node/<name>`: whether new pods are kept off it."""

    counts: tuple[int, ...] = (1,)

    def place(self, names: Names) -> Place:
        """The node."""
        return Place(NODES, name=names[0])

    def value(self, found: Raw, _names: Names) -> JsonValue:
        """False where the node says nothing."""
        return bool(found.get("spec", {}).get("unschedulable", False))

    def body(self, _found: Raw, wanted: JsonValue) -> Raw:
        """As `kubectl cordon` leaves it: true, or not there."""
        return {"spec": {"unschedulable": True if wanted else None}}


@dataclass(frozen=True)
class Replicas:
    """`scale/<Kind>/<namespace>/<name>`: how many pods a controller keeps."""

    counts: tuple[int, ...] = (3,)

    def place(self, names: Names) -> Place:
        """The controller's scale subresource."""
        if names[0] not in SCALED:
            raise PlatformRefused(f"A {names[0]} has no number of replicas; it can't be scaled to zero.")
        return Place(CONTROLLERS[names[0]], names[1], names[2], "scale")

    def value(self, found: Raw, _names: Names) -> JsonValue:
        """Zero is left out by the server."""
        return int(found.get("spec", {}).get("replicas", 0))

    def body(self, _found: Raw, wanted: JsonValue) -> Raw:
        """Replicas alone."""
        return {"spec": {"replicas": wanted}}


def _labels(found: Raw, wanted: JsonValue) -> Raw:
    if not isinstance(wanted, dict):
        raise PlatformRefused(f"Labels of {found['metadata']['name']} can't be set to {wanted!r}: a map is expected.")
    present = found["metadata"].get("labels") or {}
    changed: Raw = {key: value for key, value in wanted.items() if present.get(key) != value}
    return {"metadata": {"labels": changed | dict.fromkeys(present.keys() - wanted.keys())}}


_SCALES = tuple(
    Place(CONTROLLERS[kind], subresource="scale").permission(verb) for kind in SCALED for verb in ("get", "patch")
)
ATTRIBUTES: Attributes = {
    ("pod", "labels"): part_attribute(PodLabels(), ("get pods", "patch pods")),
    ("node", "labels"): part_attribute(NodeLabels(), ("get nodes", "patch nodes")),
    ("node", "unschedulable"): part_attribute(Cordon(), ("get nodes", "patch nodes")),
    ("scale", "replicas"): part_attribute(Replicas(), _SCALES),
}
