"""Objects of our own: policies that a containment creates and a release deletes.

Owns their normal form, server-side apply as field manager `firebreak`, and what may be deleted. Never overwrites what
another field manager has set, and never deletes an object that does not bear our label.

    read  object/networking.k8s.io/v1/networkpolicies/shop/firebreak-inc-1   # -> {"kind":..., "labels":..., "spec":...}
"""

from pydantic import JsonValue

from activities.killswitch.platform import PlanStale, PlatformRefused
from activities.kubernetes import apis
from activities.kubernetes.calls import Raw
from activities.kubernetes.places import Api, Place
from activities.kubernetes.refusals import ConcurrentChange
from activities.kubernetes.settings import (
    ATTEMPTS,
    Attribute,
    Attributes,
    Session,
    Writing,
    names_of,
    namespace_of,
)
from playbooks.change import Setting
from playbooks.kubernetes.marks import INCIDENT

OUR_PREFIX = "firebreak.dev/"


def normal_form(place: Place, found: Raw) -> JsonValue:
    """What counts of an object: its kind, its spec as the server has it, and our own labels."""
    labels = found["metadata"].get("labels") or {}
    ours = {key: value for key, value in labels.items() if key.startswith(OUR_PREFIX)}
    return {"kind": apis.KINDS[place.api.plural], "labels": ours, "spec": found.get("spec") or {}}


def _read(session: Session, setting: Setting) -> JsonValue:
    place = _place(setting)
    found = session.look(place)
    return None if found is None else normal_form(place, found)


def _write(session: Session, writing: Writing) -> None:
    place = _place(writing.setting)
    if writing.value is None:
        _remove(session, place, writing)
    else:
        _apply(session, place, writing)


def _apply(session: Session, place: Place, writing: Writing) -> None:
    found = session.seen(place)
    if found is not None:
        _is_ours(place, found)
    answer = session.calls.apply(place, _manifest(place, writing.value, found), dry_run=writing.dry_run)
    if not writing.dry_run:
        session.last[place] = answer
        _reads_back(place, answer, writing)


def _reads_back(place: Place, answer: Raw, writing: Writing) -> None:
    """Applying takes nothing out that somebody else put in: a policy of ours with a rule of theirs cuts nothing.

    Raises:
        PlatformRefused: the object is not what was applied.
    """
    if normal_form(place, answer) != writing.value:
        raise PlatformRefused(
            f"{place} is not as it was applied: somebody has added to it, or the cluster changes it.",
            hint="Look at its spec and at the cluster's admission webhooks; take out what is not ours.",
        )


def _manifest(place: Place, value: JsonValue, found: Raw | None) -> Raw:
    if not isinstance(value, dict) or not isinstance(value.get("labels"), dict):
        raise PlatformRefused(f"{place} can't be set to {value!r}: kind, labels and spec are expected.")
    metadata: Raw = {"name": place.name, "labels": value["labels"]}
    if place.namespace:
        metadata["namespace"] = place.namespace
    if found is not None:
        metadata["uid"] = found["metadata"]["uid"]
    api = place.api
    version = f"{api.group}/{api.version}"
    return {"apiVersion": version, "kind": value["kind"], "metadata": metadata, "spec": value["spec"]}


def _remove(session: Session, place: Place, writing: Writing) -> None:
    first = found = session.seen(place)
    for _ in range(ATTEMPTS):
        if found is None or first is None:
            return
        if normal_form(place, found) != normal_form(place, first):
            raise PlanStale(f"{place} has been changed while we were at it.", hint="Look at it, and decide again.")
        _is_ours(place, found)
        try:
            session.calls.delete(place, found, dry_run=writing.dry_run)
        except ConcurrentChange:
            found = session.look(place)
            continue
        if not writing.dry_run:
            session.last[place] = None
        return
    raise ConcurrentChange(f"{place} changes faster than it can be deleted.")


def _is_ours(place: Place, found: Raw) -> None:
    if INCIDENT not in (found["metadata"].get("labels") or {}):
        raise PlatformRefused(
            f"{place} does not bear the label {INCIDENT}: it is not ours.",
            hint="Somebody else has made it, or has taken our label off it: look at it before it is deleted.",
        )


def _place(setting: Setting) -> Place:
    group, version, plural, namespace, name = names_of(setting, 5)
    if not apis.is_written(group, plural):
        raise PlatformRefused(f"{plural}.{group} is no kind of policy that a containment writes.")
    return Place(Api(group, version, plural), namespace_of(namespace), name)


ATTRIBUTES: Attributes = {
    ("object", "object"): Attribute(_read, _write, apis.permissions_to_write()),
}
