"""Settings of Kubernetes: how what is wanted of an object, a pod, a node or an account is written down.

Owns the form of each resource's name, of its values and the permissions that stand beside it, as `verb resource.group`.
Whether there is anything to set is decided here too: what stands already makes no setting.

    labels_of(pod, {"app": "web"}, "take the label tier away")   # -> Setting(resource="pod/shop/web-1", ...) or None
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import JsonValue

from playbooks.change import Setting
from playbooks.kubernetes.marks import PREFIX, QUARANTINE
from playbooks.kubernetes.mechanisms import Api
from playbooks.kubernetes.objects import OurObject
from playbooks.kubernetes.observation import AccountSeen, BindingSeen, Labels, NodeSeen, PodSeen, PolicySeen

ROTATED = "@rotated"
_RBAC = "rbac.authorization.k8s.io"
_SCALED: dict[str, str] = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "ReplicaSet": "replicasets",
}
Scalable = Literal["Deployment", "StatefulSet", "ReplicaSet"]


def present(object_: OurObject, policies: Iterable[PolicySeen]) -> Setting | None:
    """The object as we want it. One that somebody has edited is set right; before us there was none."""
    found = next((policy for policy in policies if object_.is_at(policy)), None)
    there: JsonValue = None
    if found is not None:
        ours = {key: value for key, value in found.labels.items() if key.startswith(PREFIX)}
        there = {"kind": found.kind, "spec": found.spec, "labels": {**ours}}
    if there == object_.value:
        return None
    return Setting(
        resource=object_.resource,
        attribute="object",
        before=None,
        after=object_.value,
        edited=there,
        words=f"apply {object_.words}",
        permissions=permissions(object_.api),
        essential=object_.essential,
        # A pod that has lost the labels by which other policies hold it is held by this one alone.
        shelter=True,
    )


def permissions(api: Api) -> tuple[str, ...]:
    """What an object of ours needs: server-side apply is a patch that may create."""
    plurals = [api.plural]
    if api.group == "projectcalico.org" and api.plural == "globalnetworkpolicies":
        # Calico's API server asks for the right to a tier's policies under this name.
        plurals.append(f"tier.{api.plural}")
    return tuple(f"{verb} {plural}.{api.group}" for plural in plurals for verb in ("get", "create", "patch", "delete"))


def labels_of(pod: PodSeen, labels: Labels, words: str, *, essential: bool = True) -> Setting | None:
    """All labels of a pod, in one write. Those that it has for another target are held for this one too."""
    stands = pod.labels == labels
    if stands and "labels" not in pod.held:
        return None
    return Setting(
        resource=f"pod/{pod.namespace}/{pod.name}",
        attribute="labels",
        before=pod.held["labels"] if stands else {**pod.labels},
        after={**labels},
        words=words,
        permissions=("get pods", "patch pods"),
        essential=essential,
        shared=True,
    )


def node_labels(node: NodeSeen, labels: Labels, words: str) -> Setting | None:
    """All labels of a node."""
    if node.labels == labels:
        return None
    return Setting(
        resource=f"node/{node.name}",
        attribute="labels",
        before={**node.labels},
        after={**labels},
        words=words,
        permissions=("get nodes", "patch nodes"),
    )


def cordoned(node: NodeSeen, *, essential: bool) -> Setting | None:
    """No new pods on a node. One that is cordoned for another containment is held for this one too."""
    if node.unschedulable and "unschedulable" not in node.held:
        return None
    return Setting(
        resource=f"node/{node.name}",
        attribute="unschedulable",
        before=False,
        after=True,
        words=f"cordon node {node.name}: no new pods there",
        permissions=("get nodes", "patch nodes"),
        essential=essential,
        shared=True,
    )


def scaled(kind: Scalable, namespace: str, name: str, replicas: int, words: str) -> Setting | None:
    """A controller without pods."""
    if replicas == 0:
        return None
    plural = _SCALED[kind]
    return Setting(
        resource=f"scale/{kind}/{namespace}/{name}",
        attribute="replicas",
        before=replicas,
        after=0,
        words=words,
        permissions=(f"get {plural}/scale.apps", f"patch {plural}/scale.apps"),
        essential=False,
    )


def subjects_of(binding: BindingSeen, subjects: list[JsonValue], words: str) -> Setting | None:
    """Whom a binding names."""
    if list(binding.subjects) == subjects:
        return None
    plural = "rolebindings" if binding.kind == "RoleBinding" else "clusterrolebindings"
    verbs = tuple(f"{verb} {plural}.{_RBAC}" for verb in ("get", "patch"))
    # The API server lets nobody write whom a binding names who does not hold its role or may bind it.
    # https://kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update
    roles = ("clusterroles", "roles") if binding.kind == "RoleBinding" else ("clusterroles",)
    return Setting(
        resource=f"binding/{binding.kind}/{binding.namespace or '-'}/{binding.name}",
        attribute="subjects",
        before=[{**subject} for subject in binding.subjects],
        after=subjects,
        words=words,
        permissions=(*verbs, *(f"bind {role}.{_RBAC}" for role in roles)),
    )


def account_held(account: AccountSeen, incident_id: str) -> Setting | None:
    """The mark by which a second incident learns that it can't rely on what the first has taken from an account."""
    now = account.labels.get(QUARANTINE, "")
    if now == incident_id:
        return None
    return Setting(
        resource=f"serviceaccount/{account.namespace}/{account.name}",
        attribute="held-by",
        before=now,
        after=incident_id,
        words=f"label service account {account.namespace}/{account.name} {QUARANTINE}={incident_id}",
        permissions=("get serviceaccounts", "patch serviceaccounts"),
    )


def rotated(account: AccountSeen, *, essential: bool) -> Setting:
    """An account deleted and made anew: a token names the account's uid, and is worthless with another."""
    return Setting(
        resource=f"serviceaccount/{account.namespace}/{account.name}",
        attribute="identity",
        before=account.uid,
        after=ROTATED,
        words=f"delete service account {account.namespace}/{account.name} and make it anew: every token of it is void",
        permissions=tuple(f"{verb} serviceaccounts" for verb in ("get", "create", "patch", "delete")),
        essential=essential,
        reversible=False,
    )


def secret_gone(namespace: str, name: str, *, essential: bool) -> Setting:
    """A Secret with a token that does not expire."""
    return Setting(
        resource=f"secret/{namespace}/{name}",
        attribute="exists",
        before=True,
        after=False,
        words=f"delete token Secret {namespace}/{name}",
        permissions=("get secrets", "delete secrets"),
        essential=essential,
        reversible=False,
    )
