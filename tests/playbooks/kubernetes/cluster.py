"""A cluster to observe and to change: builders of what is seen in it, and settings applied to what was seen."""

from datetime import UTC, datetime
from typing import Any, cast

from playbooks.change import PlatformChange, Setting
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE
from playbooks.kubernetes.mechanisms import api_of
from playbooks.kubernetes.observation import (
    AccountSeen,
    ClusterFacts,
    KubernetesObservation,
    NodeSeen,
    PodSeen,
    PolicySeen,
    SelectorSeen,
)
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.platform_intent import KubernetesSpec, PlatformIntent
from segmentation.workloads import ClusterRef

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
INCIDENT_ID = "inc-4f1e"
NAMESPACES = {"shop": {"team": "web"}, "data": {"team": "db"}, "istio-system": {}}
PLAIN = ClusterFacts(version="v1.34.0", apis=("networking.k8s.io/v1/networkpolicies",), cni=("antrea",))
CILIUM = ClusterFacts(
    version="v1.34.0",
    apis=("cilium.io/v2/ciliumnetworkpolicies", "cilium.io/v2/ciliumclusterwidenetworkpolicies"),
    cni=("cilium",),
)
CALICO = ClusterFacts(
    version="v1.34.0",
    apis=("crd.projectcalico.org/v1/globalnetworkpolicies", "crd.projectcalico.org/v1/tiers"),
    cni=("calico",),
)
ADMIN = ClusterFacts(version="v1.34.0", apis=("policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",))
OLD_ADMIN = ClusterFacts(
    version="v1.31.0",
    apis=("policy.networking.k8s.io/v1alpha1/adminnetworkpolicies",),
    features=("admin-egress-networks",),
)
EVERY_FACTS = (PLAIN, CILIUM, CALICO, ADMIN, OLD_ADMIN)


def intent(**options: Any) -> PlatformIntent:
    incident = options.pop("incident_id", INCIDENT_ID)
    target = options.pop("target_id", "target-1")
    spec = KubernetesSpec(**options)
    return PlatformIntent(
        incident_id=incident, target_id=target, at=AT, lease_seconds=900, ends="open", kubernetes=spec
    )


def pod(name: str = "web-1", namespace: str = "shop", **more: Any) -> PodSeen:
    more.setdefault("labels", {"app": "web", "pod-template-hash": "5d4f"})
    return PodSeen(namespace=namespace, name=name, uid=f"uid-{namespace}-{name}", node="n1", **more)


def network_policy(name: str, namespace: str = "shop", **spec: Any) -> PolicySeen:
    return policy("networking.k8s.io/v1/networkpolicies", "NetworkPolicy", name, namespace, **spec)


def policy(api: str, kind: str, name: str, namespace: str = "", /, **spec: Any) -> PolicySeen:
    group, version, plural = api.split("/")
    return PolicySeen(
        group=group, version=version, resource=plural, kind=kind, namespace=namespace, name=name, spec=spec
    )


def service(name: str, namespace: str = "shop", **labels: Any) -> SelectorSeen:
    return SelectorSeen(kind="Service", namespace=namespace, name=name, selector=labels)


def controller(kind: Any, name: str, labels: dict[str, Any], **more: Any) -> SelectorSeen:
    return SelectorSeen(kind=kind, namespace="shop", name=name, selector={"matchLabels": labels}, **more)


def seen(resource: Any = "Pod", name: str = "web-1", **more: Any) -> KubernetesObservation:
    namespace = "" if resource in ("Namespace", "Node") else "shop"
    more.setdefault("facts", PLAIN)
    more.setdefault("pods", (pod(),))
    more.setdefault("namespaces", NAMESPACES)
    more.setdefault("nodes", (NodeSeen(name="n1", machine_id="4c4c4544", labels={"kubernetes.io/hostname": "n1"}),))
    reference = ClusterRef(cluster="prod", namespace=namespace, resource=resource, name=name)
    return KubernetesObservation(target_id="target-1", reference=reference, uid="uid", **more)


def plan(observation: KubernetesObservation, **options: Any) -> PlatformChange:
    return plan_kubernetes(observation, intent(**options))


def applied(observation: KubernetesObservation, *settings: Setting) -> KubernetesObservation:
    """What would be observed once these settings stand."""
    for setting in settings:
        kind, _, rest = setting.resource.partition("/")
        change = _APPLIES[kind, setting.attribute]
        observation = observation.model_copy(update=change(observation, rest.split("/"), setting))
    return observation


def _object(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    group, version, plural, namespace, name = names
    place = (group, plural, "" if namespace == "-" else namespace, name)
    others = tuple(p for p in observation.policies if (p.group, p.resource, p.namespace, p.name) != place)
    if setting.after is None:
        return {"policies": others}
    value = cast("dict[str, Any]", setting.after)
    assert api_of(observation.facts, group, plural) or group == "networking.k8s.io"
    new = policy(f"{group}/{version}/{plural}", value["kind"], name, place[2], **value["spec"])
    return {"policies": (*others, new.model_copy(update={"labels": value["labels"]}))}


def _pod(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    found = [p.model_copy(update={"labels": setting.after}) if [p.namespace, p.name] == names else p
             for p in observation.pods]  # fmt: skip
    return {"pods": tuple(found)}


def _node(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    update = {setting.attribute: setting.after}
    return {"nodes": tuple(n.model_copy(update=update) if [n.name] == names else n for n in observation.nodes)}


def _scale(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    update = {"replicas": setting.after}
    return {
        "selectors": tuple(
            s.model_copy(update=update) if [s.kind, s.namespace, s.name] == names else s for s in observation.selectors
        )
    }


def _binding(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    account = _account(observation)
    kind, namespace, name = names
    place = (kind, "" if namespace == "-" else namespace, name)
    update = {"subjects": tuple(cast("list[Any]", setting.after))}
    bindings = tuple(
        b.model_copy(update=update) if (b.kind, b.namespace, b.name) == place else b for b in account.bindings
    )
    return {"account": account.model_copy(update={"bindings": bindings})}


def _account_held(observation: KubernetesObservation, _names: list[str], setting: Setting) -> dict[str, Any]:
    account = _account(observation)
    others = {key: value for key, value in account.labels.items() if key != QUARANTINE}
    ours = {QUARANTINE: str(setting.after)} if setting.after else {}
    return {"account": account.model_copy(update={"labels": {**others, **ours}})}


def _identity(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    account = _account(observation)
    labels = {**account.labels, INCIDENT: INCIDENT_ID}
    return {"account": account.model_copy(update={"uid": "made-anew", "labels": labels})}


def _secret(observation: KubernetesObservation, names: list[str], setting: Setting) -> dict[str, Any]:
    account = _account(observation)
    left = tuple(name for name in account.token_secrets if [account.namespace, name] != names)
    return {"account": account.model_copy(update={"token_secrets": left})}


def _account(observation: KubernetesObservation) -> AccountSeen:
    assert observation.account is not None
    return observation.account


_APPLIES: dict[tuple[str, str], Any] = {
    ("object", "object"): _object,
    ("pod", "labels"): _pod,
    ("node", "unschedulable"): _node,
    ("node", "labels"): _node,
    ("scale", "replicas"): _scale,
    ("binding", "subjects"): _binding,
    ("serviceaccount", "held-by"): _account_held,
    ("serviceaccount", "identity"): _identity,
    ("secret", "exists"): _secret,
}
