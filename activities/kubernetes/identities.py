"""Ending the identity of a service account: the account made anew, and its token Secrets deleted.

Owns the rotation and its recovery. A token names the uid of its account, so that no token of the old one is worth
anything once the account was deleted (https://kubernetes.io/docs/concepts/security/service-accounts/); an API server
that has just seen one believes it for ten seconds more, as long as it remembers successful tokens. What the account
was like is saved in an account of our own first: a crash at any point is made good by the next attempt, and the copy
is deleted last. While it stands, the rotation reads as not done.

    read  serviceaccount/shop/web  identity   # -> the uid; "@rotated" once the account is ours and the copy is gone
    read  serviceaccount/shop/web  held-by    # -> the incident that holds it; empty: none
"""

import hashlib
import json
from dataclasses import dataclass

from pydantic import JsonValue

from activities.killswitch.platform import PlatformRefused, TargetUnknown
from activities.kubernetes.calls import Raw
from activities.kubernetes.places import SECRETS, SERVICE_ACCOUNTS, Place
from activities.kubernetes.settings import Attribute, Attributes, Names, Session, Writing, names_of, part_attribute
from playbooks.change import Setting
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE
from playbooks.platform_intent import mark

ROTATED = "@rotated"
SAVED = "firebreak.dev/saved-account"
TOKEN_OF = "kubernetes.io/service-account.name"  # noqa: S105 - an annotation's name
_KEPT = ("automountServiceAccountToken", "imagePullSecrets", "secrets")
_KEPT_METADATA = ("labels", "annotations")


@dataclass(frozen=True)
class Hold:
    """`serviceaccount/<namespace>/<name>`: the incident that holds it, as a label that the rotation carries over."""

    counts: tuple[int, ...] = (2,)

    def place(self, names: Names) -> Place:
        """The account."""
        return Place(SERVICE_ACCOUNTS, *names)

    def value(self, found: Raw, _names: Names) -> JsonValue:
        """Empty: none does."""
        return str((found["metadata"].get("labels") or {}).get(QUARANTINE, ""))

    def body(self, _found: Raw, wanted: JsonValue) -> Raw:
        """The one label."""
        return {"metadata": {"labels": {QUARANTINE: wanted or None}}}


_HOLD = part_attribute(Hold(), tuple(Place(SERVICE_ACCOUNTS).permission(verb) for verb in ("get", "patch")))


def _read_hold(session: Session, setting: Setting) -> JsonValue:
    place = _account(setting)
    saved = None if session.look(place) else session.calls.get(_copy(session, place))
    # A rotation that was interrupted goes on from its copy, whose labels the account is going to have.
    return _HOLD.read(session, setting) if saved is None else Hold().value(_saved(saved)["account"], ())


def _read_identity(session: Session, setting: Setting) -> JsonValue:
    place = _account(setting)
    saved = session.calls.get(_copy(session, place))
    if saved is not None:
        return str(_saved(saved)["uid"])
    found = session.look(place)
    if found is None:
        return None
    made_for = (found["metadata"].get("labels") or {}).get(INCIDENT)
    return ROTATED if made_for == session.incident_id else str(found["metadata"]["uid"])


def _write_identity(session: Session, writing: Writing) -> None:
    if writing.value != ROTATED:
        raise PlatformRefused(
            f"{writing.setting.resource} can't get its old identity back: Kubernetes gives every account a new uid."
        )
    place = _account(writing.setting)
    if writing.dry_run:
        found = session.calls.get(place)
        if found is None:
            raise TargetUnknown(f"There is no {place} in cluster {session.calls.cluster}.")
        session.calls.delete(place, found, dry_run=True)
        return
    _rotate(session, place)


def _rotate(session: Session, place: Place) -> None:
    calls, copy = session.calls, _copy(session, place)
    found, saved = calls.get(place), calls.get(copy)
    if found is not None and (saved is None or _saved(saved)["uid"] == found["metadata"]["uid"]):
        saved = calls.apply(copy, _copy_of(session, copy, found))
    if saved is None:
        raise TargetUnknown(f"There is no {place} in cluster {calls.cluster}, and no saved copy of it.")
    before = _saved(saved)
    if found is not None and found["metadata"]["uid"] == before["uid"]:
        calls.delete(place, found)
        found = None
    _make_anew(session, place, found, before["account"])
    calls.delete(copy, saved)


def _make_anew(session: Session, place: Place, found: Raw | None, before: Raw) -> None:
    labels = {**(before["metadata"].get("labels") or {}), INCIDENT: session.incident_id}
    anew = {**before, "metadata": {**before["metadata"], "name": place.name, "labels": labels}}
    if found is None:
        session.calls.create(Place(SERVICE_ACCOUNTS, place.namespace), anew)
    elif (found["metadata"].get("labels") or {}).get(INCIDENT) != session.incident_id:
        # A controller makes `default` anew within the second, bare: it gets what the old one had.
        session.calls.patch(place, anew)


def _copy_of(session: Session, copy: Place, found: Raw) -> Raw:
    """An account of ours, with no rights and no pod, that says what the other was like."""
    metadata = {key: found["metadata"][key] for key in _KEPT_METADATA if key in found["metadata"]}
    account = {"metadata": metadata} | {key: found[key] for key in _KEPT if key in found}
    saved = json.dumps({"uid": found["metadata"]["uid"], "account": account}, sort_keys=True)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": copy.name,
            "namespace": copy.namespace,
            "labels": {INCIDENT: session.incident_id},
            "annotations": {SAVED: saved},
        },
        "automountServiceAccountToken": False,
    }


def _saved(copy: Raw) -> Raw:
    text = (copy["metadata"].get("annotations") or {}).get(SAVED, "")
    try:
        saved: Raw = json.loads(text)
    except ValueError as error:
        name = copy["metadata"]["name"]
        raise PlatformRefused(f"Service account {name} is not a saved copy of ours any more: {text[:80]!r}.") from error
    return saved


def _copy(session: Session, place: Place) -> Place:
    suffix = hashlib.sha256(place.name.encode()).hexdigest()[:8]
    return Place(SERVICE_ACCOUNTS, place.namespace, f"{mark(session.incident_id)}-saved-{suffix}")


def _account(setting: Setting) -> Place:
    return Place(SERVICE_ACCOUNTS, *names_of(setting, 2))


def _read_secret(session: Session, setting: Setting) -> JsonValue:
    place = _secret(setting)
    session.last[place] = session.calls.get(place, metadata_only=True)
    return session.last[place] is not None


def _write_secret(session: Session, writing: Writing) -> None:
    place = _secret(writing.setting)
    if writing.value is not False:
        raise PlatformRefused(f"{writing.setting.resource} can't be made anew: its content was never read.")
    if place not in session.last:
        _read_secret(session, writing.setting)
    found = session.last[place]
    if found is None:
        return
    if TOKEN_OF not in (found["metadata"].get("annotations") or {}):
        raise PlatformRefused(f"{place} holds no token of a service account: it is left alone.")
    session.calls.delete(place, found, dry_run=writing.dry_run)
    if not writing.dry_run:
        session.last[place] = None


def _secret(setting: Setting) -> Place:
    return Place(SECRETS, *names_of(setting, 2))


ATTRIBUTES: Attributes = {
    ("serviceaccount", "held-by"): Attribute(_read_hold, _HOLD.write, _HOLD.permissions),
    ("serviceaccount", "identity"): Attribute(
        _read_identity,
        _write_identity,
        tuple(Place(SERVICE_ACCOUNTS).permission(verb) for verb in ("get", "create", "patch", "delete")),
    ),
    ("secret", "exists"): Attribute(
        _read_secret, _write_secret, tuple(Place(SECRETS).permission(verb) for verb in ("get", "delete"))
    ),
}
