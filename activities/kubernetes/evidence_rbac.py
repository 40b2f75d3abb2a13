"""What the service accounts of the pods may do: who binds them, to which roles, with which rules.

Owns the collector `rbac`. What an account may is told from bindings and roles, not by asking as the account: that would
take its token.
"""

from collections.abc import Iterator
from typing import Any

from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.kubernetes.accounts import names_account
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Reader, Scene, name_of
from activities.kubernetes.places import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, Api, Place

ROLES = Api("rbac.authorization.k8s.io", "v1", "roles")
CLUSTER_ROLES = Api("rbac.authorization.k8s.io", "v1", "clusterroles")
PERMISSIONS = (
    *(Place(api).permission("list") for api in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)),
    *(Place(api).permission("get") for api in (ROLES, CLUSTER_ROLES)),
)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document: every account with its bindings, and every role once."""
    draft, reader = Draft(), scene.reader
    accounts = draft.part("accounts", lambda: _accounts(scene, draft)) or []
    bindings = draft.part("all_bindings", lambda: _bindings(reader, draft)) or []
    bound = {f"{ns}/{name}": [one for one in bindings if _binds(one, ns, name)] for ns, name in accounts}
    # Bindings of everybody else are none of this case's business.
    draft.parts.pop("all_bindings", None)
    draft.parts["accounts"] = bound
    draft.part("roles", lambda: _roles(reader, [one for several in bound.values() for one in several]))
    draft.events = len(bound)
    task.tell(f"{len(bound)} accounts")
    yield draft.found("rbac", scene.asked)


def _accounts(scene: Scene, draft: Draft) -> list[tuple[str, str]]:
    reference = scene.reference
    own = {(reference.namespace, reference.name)} if reference.resource == "ServiceAccount" else set()
    pods = scene.pods(draft)
    return sorted(own | {(p["metadata"]["namespace"], p["spec"].get("serviceAccountName") or "default") for p in pods})


def _bindings(reader: Reader, draft: Draft) -> list[Raw]:
    found = [("RoleBinding", one) for one in reader.first(Place(ROLE_BINDINGS), draft)]
    found += [("ClusterRoleBinding", one) for one in reader.first(Place(CLUSTER_ROLE_BINDINGS), draft)]
    return [{"kind": kind, **one} for kind, one in found]


def _binds(binding: Raw, namespace: str, name: str) -> bool:
    return any(names_account(subject, namespace, name, binding) for subject in binding.get("subjects") or ())


def _roles(reader: Reader, bindings: list[Raw]) -> dict[str, Any]:
    """By what a binding calls it; a role that is not there grants nothing, and says so."""
    roles: dict[str, Any] = {}
    for binding in bindings:
        wanted = binding["roleRef"]
        is_wide = wanted["kind"] == "ClusterRole"
        namespace = "" if is_wide else binding["metadata"]["namespace"]
        place = Place(CLUSTER_ROLES if is_wide else ROLES, namespace, wanted["name"])
        key = f"{wanted['kind']} {namespace}/{wanted['name']}".replace(" /", " ")
        if key not in roles:
            found = reader.get(place)
            roles[key] = {"not_there": f"bound by {name_of(binding)}"} if found is None else found
    return roles
