"""Taking a service account out of the bindings that give it rights, and putting it back.

Owns the subjects of RoleBindings and ClusterRoleBindings. Never touches a role.

An API server lets nobody write a binding, not even shorten it, who neither holds every right of its role nor may
`bind` that role (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update).
"""

from dataclasses import dataclass

from pydantic import JsonValue

from activities.killswitch.platform import PlatformRefused
from activities.kubernetes.calls import Raw
from activities.kubernetes.places import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, Api, Place
from activities.kubernetes.refusals import permission_missing
from activities.kubernetes.settings import (
    Attribute,
    Attributes,
    Names,
    Session,
    Writing,
    names_of,
    namespace_of,
    part_attribute,
)

_KINDS = {"RoleBinding": ROLE_BINDINGS, "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS}
_ROLES = {kind: Api(ROLE_BINDINGS.group, "v1", f"{kind.lower()}s") for kind in ("Role", "ClusterRole")}


@dataclass(frozen=True)
class Subjects:
    """`binding/<RoleBinding|ClusterRoleBinding>/<namespace or ->/<name>`: whom it gives its role to."""

    counts: tuple[int, ...] = (3,)

    def place(self, names: Names) -> Place:
        """The binding."""
        if names[0] not in _KINDS:
            raise PlatformRefused(f"{names[0]} is no kind of binding.")
        return Place(_KINDS[names[0]], namespace_of(names[1]), names[2])

    def value(self, found: Raw, _names: Names) -> JsonValue:
        """Its subjects as the server has them."""
        return list(found.get("subjects") or [])

    def body(self, _found: Raw, wanted: JsonValue) -> Raw:
        """The whole list: subjects have no key to merge by."""
        return {"subjects": wanted}


_PART = Subjects()
_READ_WRITE = part_attribute(
    _PART,
    (
        *(Place(api).permission(verb) for api in _KINDS.values() for verb in ("get", "patch")),
        *(Place(api).permission("bind") for api in _ROLES.values()),
    ),
)


def _write(session: Session, writing: Writing) -> None:
    try:
        _READ_WRITE.write(session, writing)
    except PlatformRefused as error:
        place = _PART.place(names_of(writing.setting, *_PART.counts))
        role = _role(session, place)
        if role is None or session.calls.allowed("bind", role):
            raise
        raise permission_missing(session.calls.cluster, role.permission("bind"), role) from error


def _role(session: Session, binding: Place) -> Place | None:
    found = session.seen(binding)
    if found is None:
        return None
    return Place(_ROLES[found["roleRef"]["kind"]], binding.namespace, found["roleRef"]["name"])


ATTRIBUTES: Attributes = {
    ("binding", "subjects"): Attribute(_READ_WRITE.read, _write, _READ_WRITE.permissions),
}
