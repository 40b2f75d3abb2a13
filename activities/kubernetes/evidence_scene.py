"""What the collectors of one order read with, and what all of them ask first: the target and its pods.

Owns the bound on pods and the record of every call. Never fails for a target that has ended: evidence of it counts too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from activities.evidence.platforms.collecting import Draft, Once
from activities.kubernetes import targets
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.places import Place
from activities.kubernetes.targets import Found, members
from segmentation.workloads import ClusterRef

MOST_PODS = 20
MOST_OBJECTS = 2000
READING = targets.PERMISSIONS


@dataclass(frozen=True)
class Reader:
    """Reads a cluster and remembers what was asked."""

    calls: Calls
    asked: list[str]

    def get(self, place: Place) -> Raw | None:
        """An object; None where there is none."""
        self.asked.append(f"get {place.path}")
        return self.calls.get(place)

    def first(self, place: Place, draft: Draft, *, labels: str = "", fields: str = "") -> list[Raw]:
        """At most so many objects of a collection; the draft says where there are more."""
        selectors = {"labelSelector": labels, "fieldSelector": fields, "limit": str(MOST_OBJECTS)}
        self.asked.append(f"list {place.path} {json.dumps({k: v for k, v in selectors.items() if v})}")
        items, complete = self.calls.first(place, MOST_OBJECTS, labels=labels, fields=fields)
        if not complete:
            draft.cut.append(f"{place.api.resource}: more than the first {len(items)}")
        return items

    def content(self, place: Place, query: Mapping[str, str]) -> bytes:
        """The bytes of a log."""
        self.asked.append(f"get {place.path} {json.dumps(dict(query))}")
        return self.calls.content(place, query)


@dataclass(frozen=True)
class Scene:
    """One target of one order."""

    calls: Calls
    reference: ClusterRef
    once: Once
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, calls: Calls, reference: ClusterRef, incident_id: str) -> Self:
        """The target is asked for by the first who needs it."""
        return cls(calls, reference, Once(lambda: members(calls, reference, incident_id)))

    def reading(self) -> Self:
        """The same for one collector, with a record of its own."""
        return type(self)(self.calls, self.reference, self.once)

    @property
    def reader(self) -> Reader:
        """Reads, and remembers what was asked."""
        return Reader(self.calls, self.asked)

    @property
    def namespace(self) -> str:
        """The one in which the target is; empty for a node."""
        return self.reference.name if self.reference.resource == "Namespace" else self.reference.namespace

    def found(self) -> Found:
        """The target with all its pods.

        Raises:
            TargetUnknown: it is gone, or its name alone means several.
        """
        what = f"{self.reference.resource} {self.reference.namespace}/{self.reference.name}"
        self.asked.append(f"find {what} and its pods")
        found: Found = self.once.get()
        return found

    def pods(self, draft: Draft) -> list[Raw]:
        """Its pods, bounded; those that are left out are named in the draft."""
        ordered = sorted(self.found().pods, key=name_of)
        left = ordered[MOST_PODS:]
        draft.bounds = f"at most {MOST_PODS} pods, {MOST_OBJECTS} objects of a kind"
        if left:
            draft.parts["pods_not_collected"] = [name_of(pod) for pod in left]
            draft.cut.append(f"{len(left)} of {len(ordered)} pods are beyond the bound and only named")
        return ordered[:MOST_PODS]


def name_of(found: Raw) -> str:
    """`namespace/name`."""
    return f"{found['metadata'].get('namespace', '')}/{found['metadata']['name']}".lstrip("/")


def containers_of(pod: Raw) -> list[tuple[str, Raw, Raw]]:
    """Every container with what it is (init, regular, ephemeral), its spec and its status."""
    status = pod.get("status") or {}
    kinds = {
        "init": ("initContainers", "initContainerStatuses"),
        "regular": ("containers", "containerStatuses"),
        "ephemeral": ("ephemeralContainers", "ephemeralContainerStatuses"),
    }
    return [
        (kind, spec, next((one for one in status.get(seen) or () if one.get("name") == spec["name"]), {}))
        for kind, (specs, seen) in kinds.items()
        for spec in pod["spec"].get(specs) or ()
    ]
