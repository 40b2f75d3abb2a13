"""A worker that dies at any request, and the next one that finds what it left: always the same end.

Every plan is the planner's own. That Cilium or Calico runs is said by the observation alone: nothing runs here.
"""

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import ApiClient

from activities.contracts.killswitch import Applied, LetGo
from activities.killswitch import engine
from activities.kubernetes.platform import IDENTITY_PERMISSIONS, PERMISSIONS
from lab.cluster import Cluster
from playbooks.change import PlatformChange
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE
from playbooks.kubernetes.plan import plan_kubernetes
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.crashing import Fuse, Killed, state, versions
from tests.activities.kubernetes.making import MOMENT, RBAC, Ground, intent, owned, workload

TOKEN = "kubernetes.io/service-account-token"
Plan = Callable[..., PlatformChange]


@pytest.fixture
def fuse(worker: ApiClient) -> Fuse:
    return Fuse(worker)


@pytest.fixture
def plan(served: Cluster, fuse: Fuse) -> Plan:
    def make(resource: str, name: str, namespace: str, runs: str = "", **spec: Any) -> PlatformChange:
        target = workload(resource, name, namespace)
        wanted = intent(target, **spec)
        seen = opened(fuse.client).observe(target, wanted)
        facts = seen.facts.model_copy(update={"cni": (runs,) if runs else (), "mesh": ("istio",) if runs else ()})
        change = plan_kubernetes(seen.model_copy(update={"facts": facts}), wanted)
        assert set(change.permissions) <= PERMISSIONS | IDENTITY_PERMISSIONS
        return change

    return make


def furnish(ground: Ground) -> None:
    """A Deployment's pod that policies let talk and a Service sends to, on a node."""
    ground.node()
    deployment = ground.deployment("web", {"app": "web"})
    replicas = ground.replica_set("web-5d8f", deployment, {"app": "web", "pod-template-hash": "5d8f"})
    labels = {"app": "web", "pod-template-hash": "5d8f", "team": "shop"}
    ground.pod("web-5d8f-a", labels, ownerReferences=[owned(replicas)], nodeName=ground.name, serviceAccountName="shop")
    ground.policy("allow-web", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}], "egress": [{}]})
    ground.service("web", {"app": "web"})


REVERSIBLE = {
    "plain pod": ("Pod", "web-5d8f-a", "", {"mechanism": "network-policy", "cordon": True}),
    "plain workload": ("Deployment", "web", "", {"mechanism": "network-policy", "scale_to_zero": True}),
    "plain namespace": ("Namespace", "", "", {"mechanism": "network-policy"}),
    "pod under the admin tier": ("Pod", "web-5d8f-a", "", {"mechanism": "admin-network-policy"}),
    "cilium pod in a mesh": ("Pod", "web-5d8f-a", "cilium", {"mechanism": "cilium"}),
    "calico workload": ("Deployment", "web", "calico", {"mechanism": "calico"}),
    "node": ("Node", "", "cilium", {}),
}


@pytest.mark.parametrize("case", REVERSIBLE.values(), ids=REVERSIBLE.keys())
def test_wherever_a_worker_dies_the_next_one_ends_the_same(
    case: tuple[str, str, str, dict[str, Any]], ground: Ground, fuse: Fuse, plan: Plan
) -> None:
    resource, name, runs, spec = case
    furnish(ground)
    cluster_wide = resource in ("Namespace", "Node")
    change = plan(resource, name or ground.name, "" if cluster_wide else ground.name, runs, **spec)
    scene = Scene(fuse, change, ground)
    original = scene.state()
    scene.apply()
    contained = scene.state()
    assert contained != original
    for arrives in (False, True):
        point, died = 0, True
        while died:
            point += 1
            died = scene.dies(scene.apply, point, arrives=arrives)
            scene.apply()
            assert scene.state() == contained
            died |= scene.dies(scene.release, point, arrives=arrives)
            assert scene.release().restored
            assert scene.state() == original
        assert point > len(change.settings)


class Scene:
    """A change, the ground it is about and the client that may die on the way."""

    def __init__(self, fuse: Fuse, change: PlatformChange, ground: Ground) -> None:
        self._fuse, self._change, self._ground = fuse, change, ground

    def apply(self) -> Applied:
        return engine.apply(opened(self._fuse.client), self._change, MOMENT)

    def release(self) -> LetGo:
        return engine.release(opened(self._fuse.client), self._change, MOMENT, overwrite=False)

    def state(self) -> dict[str, Any]:
        """What is in the namespace, and what is set of the change wherever it is."""
        platform = opened(self._fuse.client)
        settings = {"/".join(setting.place): platform.read(setting) for setting in self._change.settings}
        return {**state(self._ground), **settings}

    def dies(self, work: Callable[[], object], point: int, *, arrives: bool) -> bool:
        """Whether there is such a request to die at; with `arrives` the server still does what it asks."""
        self._fuse.light(point, arrives=arrives)
        try:
            work()
        except Killed:
            return True
        finally:
            self._fuse.put_out()
        return False


@pytest.mark.parametrize("arrives", [False, True])
def test_wherever_a_worker_dies_an_identity_ends_the_same(
    arrives: bool, cluster: Cluster, fuse: Fuse, plan: Plan
) -> None:
    point, died = 0, True
    while died:
        ground = Ground(cluster, cluster.namespace("shop"))
        change = plan("ServiceAccount", "shop", _with_account(ground), revoke_tokens=True)
        scene = Scene(fuse, change, ground)
        died = scene.dies(scene.apply, point := point + 1, arrives=arrives)
        scene.apply()
        assert engine.verify(opened(fuse.client), change).differing == ()
        found = state(ground)
        account = found["serviceaccounts/shop"]
        assert account["metadata"]["labels"] == {"team": "shop", INCIDENT: "inc-1", QUARANTINE: "inc-1"}
        assert account["imagePullSecrets"] == [{"name": "registry"}]
        assert {key for key in found if not key.startswith("rolebindings")} == {"serviceaccounts/shop"}
        assert "subjects" not in found["rolebindings/reads"]
        before = versions(ground)
        assert scene.apply().already_standing
        assert versions(ground) == before
    assert point > 10


def _with_account(ground: Ground) -> str:
    ground.account("shop", labels={"team": "shop"}, imagePullSecrets=[{"name": "registry"}])
    mark = {"kubernetes.io/service-account.name": "shop"}
    ground.make(ground.here("secrets"), "shop-token", {"type": TOKEN}, annotations=mark)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"}
    subjects = [{"kind": "ServiceAccount", "name": "shop", "namespace": ground.name}]
    ground.make(ground.here("rolebindings", RBAC), "reads", {"roleRef": role, "subjects": subjects})
    return ground.name
