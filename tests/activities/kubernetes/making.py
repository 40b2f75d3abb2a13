"""What the tests put into a cluster, as its admin, and how they speak of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import JsonValue

from activities.killswitch.platform import Moment
from lab.cluster import Cluster
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import KubernetesSpec, PlatformIntent
from segmentation.workloads import ClusterRef, Workload, WorkloadKind

CLUSTER = "lab"
INCIDENT = "inc-1"
NOW = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
MOMENT = Moment(NOW, NOW + timedelta(hours=1))
APPS, RBAC, POLICIES = "/apis/apps/v1", "/apis/rbac.authorization.k8s.io/v1", "/apis/networking.k8s.io/v1"
MERGE = "application/merge-patch+json"
Raw = dict[str, Any]
_KINDS: dict[str, WorkloadKind] = {
    "Pod": "pod", "Namespace": "namespace", "Node": "node", "ServiceAccount": "service-account",
}  # fmt: skip


class Ground:
    """One namespace of a test, and what is in it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    def make(self, path: str, name: str, body: Raw, **metadata: Any) -> Raw:
        return self.cluster.call("POST", path, {"metadata": {"name": name, **metadata}, **body})

    def here(self, plural: str, root: str = "/api/v1") -> str:
        return f"{root}/namespaces/{self.name}/{plural}"

    def pod(self, name: str = "web-1", labels: dict[str, str] | None = None, **more: Any) -> Raw:
        metadata = {key: more.pop(key) for key in ("ownerReferences", "generateName") if key in more}
        spec = {"containers": [{"name": "main", "image": "web"}], **more}
        return self.make(self.here("pods"), name, {"spec": spec}, labels=labels or {}, **metadata)

    def policy(self, name: str, spec: Raw) -> Raw:
        return self.make(self.here("networkpolicies", POLICIES), name, {"spec": spec})

    def service(self, name: str, selector: dict[str, str]) -> Raw:
        return self.make(self.here("services"), name, {"spec": {"selector": selector, "ports": [{"port": 80}]}})

    def deployment(self, name: str, labels: dict[str, str], replicas: int = 2) -> Raw:
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        return self.make(self.here("deployments", APPS), name, {"spec": spec})

    def replica_set(self, name: str, owner: Raw, labels: dict[str, str]) -> Raw:
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        return self.make(
            self.here("replicasets", APPS), name, {"spec": spec}, labels=labels, ownerReferences=[owned(owner)]
        )

    def node(self, **spec: Any) -> str:
        """A node of the whole cluster, called after the namespace."""
        self.make("/api/v1/nodes", self.name, {"spec": spec})
        return self.name

    def account(self, name: str = "web", **more: Any) -> Raw:
        metadata = {key: more.pop(key) for key in ("labels", "annotations", "finalizers") if key in more}
        return self.make(self.here("serviceaccounts"), name, more, **metadata)

    def get(self, plural: str, name: str, root: str = "/api/v1") -> Raw:
        return self.cluster.call("GET", f"{self.here(plural, root)}/{name}")

    def edit(self, plural: str, name: str, patch: Raw, root: str = "/api/v1") -> Raw:
        """Somebody else changes it by hand."""
        return self.cluster.call("PATCH", f"{self.here(plural, root)}/{name}?fieldManager=hand", patch, MERGE)

    def delete(self, plural: str, name: str, root: str = "/api/v1") -> None:
        # Without a kubelet nobody confirms that a pod has ended: no grace.
        self.cluster.call("DELETE", f"{self.here(plural, root)}/{name}?gracePeriodSeconds=0")

    def names(self, plural: str, root: str = "/api/v1") -> set[str]:
        return {one["metadata"]["name"] for one in self.cluster.call("GET", self.here(plural, root))["items"]}


def owned(owner: Raw) -> Raw:
    """The reference by which a controller owns."""
    metadata = owner["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**reference, "controller": True}


def setting(resource: str, attribute: str, before: JsonValue, after: JsonValue, **more: Any) -> Setting:
    words = f"set {attribute}"
    return Setting(
        resource=resource, attribute=attribute, before=before, after=after, words=words, permissions=(), **more
    )


def change(*settings: Setting, target_id: str = "target") -> PlatformChange:
    return PlatformChange(
        incident_id=INCIDENT,
        target_id=target_id,
        platform="kubernetes",
        mechanism="network-policy",
        settings=settings,
        lease_seconds=3600,
        ends="closed",
    )


def workload(resource: Any, name: str, namespace: str = "", cluster: str = CLUSTER) -> Workload:
    reference = ClusterRef(cluster=cluster, namespace=namespace, resource=resource, name=name)
    kind = _KINDS.get(resource, "controller")
    plain = "".join(filter(str.isalnum, f"{namespace}{name}"))
    return Workload(workload_id=plain, kind=kind, name=plain, kubernetes=reference)


def intent(target: Workload, incident_id: str = INCIDENT, **spec: Any) -> PlatformIntent:
    return PlatformIntent(
        incident_id=incident_id,
        target_id=target.workload_id,
        at=NOW,
        lease_seconds=3600,
        ends="closed",
        kubernetes=KubernetesSpec(**spec),
    )


def policy_object(ground: Ground, name: str = "firebreak-inc-1") -> str:
    return f"object/networking.k8s.io/v1/networkpolicies/{ground.name}/{name}"


def deny_all(incident_id: str = INCIDENT, selector: Raw | None = None) -> JsonValue:
    spec: dict[str, JsonValue] = {"podSelector": selector or {}, "policyTypes": ["Ingress", "Egress"]}
    return {"kind": "NetworkPolicy", "labels": {"firebreak.dev/incident": incident_id}, "spec": spec}
