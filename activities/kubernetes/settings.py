"""How one attribute of a Kubernetes resource is read and written: the shape, and how a part of an object is set.

Owns the shape that `activities.kubernetes.platform` looks up by the resource's kind and the attribute's name, and the
rule by which an existing object is changed: only the very object that was read, only if the part to be set is still
as it was. Which attributes there are is owned by the modules that define them.

    ATTRIBUTES = {("node", "unschedulable"): part_attribute(Cordon(), ("get nodes", "patch nodes"))}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pydantic import JsonValue

from activities.killswitch.platform import PlanStale, PlatformRefused, StillHeld, TargetUnknown
from activities.kubernetes import holding
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.places import Place
from activities.kubernetes.recent import Snapshot
from activities.kubernetes.refusals import ConcurrentChange
from playbooks.change import LET_GO, Setting

CLUSTER_WIDE = "-"
# A kubelet writes a pod's status while it starts: each time we look again whether the part we set is untouched.
ATTEMPTS = 8


@dataclass
class Session:
    """One cluster opened for one incident, with what was read in it: a write replaces exactly what was read.

    `holder`: the name under which this containment holds what it shares with others.
    """

    calls: Calls
    incident_id: str
    holder: str = ""
    recent: Snapshot = field(default_factory=Snapshot)
    last: dict[Place, Raw | None] = field(default_factory=dict)

    def look(self, place: Place) -> Raw | None:
        """Read an object, and remember it as what the next write starts from. Looked at again it is read again."""
        if place not in self.last and self.recent.knows(place):
            self.last[place] = self.recent.objects.get(place)
        else:
            self.last[place] = self.calls.get(place)
        return self.last[place]

    def seen(self, place: Place) -> Raw | None:
        """The object as it was last read; read now if it was not."""
        return self.last[place] if place in self.last else self.look(place)


@dataclass(frozen=True)
class Writing:
    """A value on its way into a setting."""

    setting: Setting
    value: JsonValue
    dry_run: bool = False


@dataclass(frozen=True)
class Attribute:
    """Reads and writes one attribute. A write with `dry_run` changes nothing, and fails as the real one would."""

    read: Callable[[Session, Setting], JsonValue]
    write: Callable[[Session, Writing], None]
    permissions: tuple[str, ...]


Attributes = Mapping[tuple[str, str], Attribute]
Names = tuple[str, ...]


class Part(Protocol):
    """A part of an existing object that a merge patch can set."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many names its resource may have."""

    def place(self, names: Names, /) -> Place:
        """Where the object is, by the names in the setting's resource."""

    def value(self, found: Raw, names: Names, /) -> JsonValue:
        """The part in it; None if this is not the object that is meant."""

    def body(self, found: Raw, wanted: JsonValue, /) -> Raw:
        """The merge patch that sets the part in it."""


def part_attribute(part: Part, permissions: tuple[str, ...]) -> Attribute:
    """The attribute that is this part of an existing object."""
    return Attribute(partial(_read, part), partial(_write, part), permissions)


def names_of(setting: Setting, *counts: int) -> Names:
    """`a`, `b`, `c` of the resource `kind/a/b/c`; `counts` are the numbers of names that it may have.

    Raises:
        PlatformRefused: it has another form.
    """
    _, *names = setting.resource.split("/")
    if len(names) not in counts or not all(names):
        raise PlatformRefused(f"{setting.resource!r} has {len(names)} names after its kind, expected {counts[0]}.")
    return tuple(names)


def namespace_of(name: str) -> str:
    """The namespace as a path has it: empty for what is cluster-wide."""
    return "" if name == CLUSTER_WIDE else name


def _read(part: Part, session: Session, setting: Setting) -> JsonValue:
    names = names_of(setting, *part.counts)
    found = session.look(part.place(names))
    return None if found is None else _counts(part, session, setting, found, names)


def _counts(part: Part, session: Session, setting: Setting, found: Raw, names: Names) -> JsonValue:
    return holding.seen_by(session.holder, setting, found, part.value(found, names))


def _write(part: Part, session: Session, writing: Writing) -> None:
    setting = writing.setting
    names = names_of(setting, *part.counts)
    place = part.place(names)
    first = found = session.seen(place)
    for _ in range(ATTEMPTS):
        if found is None or first is None or part.value(found, names) is None:
            raise TargetUnknown(f"{setting.resource} is gone from cluster {session.calls.cluster}.")
        if _differs(part, session, setting, (first, found)):
            raise PlanStale(
                f"{setting.resource}: somebody else has set {setting.attribute} while we were at it.",
                hint="Plan again.",
            )
        try:
            _patch(session, part, place, found, writing)
        except ConcurrentChange:
            found = session.look(place)
        else:
            return
    raise ConcurrentChange(f"{setting.resource} changes faster than it can be set.")


def _differs(part: Part, session: Session, setting: Setting, looks: tuple[Raw, Raw]) -> bool:
    names = names_of(setting, *part.counts)
    first, found = ((one["metadata"]["uid"], _counts(part, session, setting, one, names)) for one in looks)
    return first != found


def _patch(session: Session, part: Part, place: Place, found: Raw, writing: Writing) -> None:
    setting, value = writing.setting, writing.value
    stays = setting.shared and holding.stays(session.holder, setting, found, value)
    body = {} if stays else part.body(found, value)
    exactly = {name: found["metadata"][name] for name in ("uid", "resourceVersion")}
    marks = holding.mark(session.holder, setting, found, value) if setting.shared else {}
    # What was never set is let go without asking the server for anything: it may be what it refuses us.
    as_it_is = setting.shared and part.value(found, names_of(setting, *part.counts)) == value
    if marks or not (stays or as_it_is):
        annotations = {"annotations": marks} if marks else {}
        body["metadata"] = {**body.get("metadata", {}), **annotations, **exactly}
        answer = session.calls.patch(place, body, dry_run=writing.dry_run)
        if not writing.dry_run:
            session.last[place] = answer
    if stays and value != LET_GO:
        holders = ", ".join(holding.others(session.holder, setting, found))
        raise StillHeld(f"{setting.resource}: {setting.attribute} stays as it is, {holders} holds it too.")
