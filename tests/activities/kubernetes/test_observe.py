"""Observing targets in a real cluster: what belongs to them, what stands around them, and what is not there."""

from typing import Any

import pytest
from kubernetes.client import ApiClient

from activities.killswitch.platform import PermissionMissing, TargetUnknown
from activities.kubernetes import calls
from activities.kubernetes.platform import KubernetesPlatform, open_platform
from lab.cluster import Cluster
from playbooks.kubernetes.observation import KubernetesObservation
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.making import CLUSTER, Ground, intent, owned, workload

QUARANTINED = {"firebreak.dev/quarantine": "inc-1"}


def observe(
    platform: KubernetesPlatform, resource: str, name: str, namespace: str = "", **spec: Any
) -> KubernetesObservation:
    target = workload(resource, name, namespace)
    return platform.observe(target, intent(target, **spec))


def pods_of(seen: KubernetesObservation) -> list[str]:
    return [pod.name for pod in seen.pods]


def test_a_pod_is_seen_with_all_that_could_matter_to_it(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.pod(labels={"app": "web"}, nodeName=ground.node(), serviceAccountName="shop", hostNetwork=True)
    ground.policy("allow", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]})
    ground.service("web", {"app": "web"})
    ground.service("db", {"app": "db"})
    seen = observe(platform, "Pod", "web-1", ground.name)
    pod = seen.pods[0]
    assert (pod.labels, pod.node, pod.service_account, pod.host_network) == ({"app": "web"}, ground.name, "shop", True)
    assert (seen.uid, seen.labels) == (ground.get("pods", "web-1")["metadata"]["uid"], {"app": "web"})
    (policy,) = [policy for policy in seen.policies if policy.namespace == ground.name]
    assert (policy.kind, policy.name) == ("NetworkPolicy", "allow")
    assert policy.spec == ground.get("networkpolicies", "allow", "/apis/networking.k8s.io/v1")["spec"]
    assert [(one.kind, one.name) for one in seen.selectors] == [("Service", "web")]
    assert [node.name for node in seen.nodes] == [ground.name]
    assert seen.namespaces[ground.name] == {"kubernetes.io/metadata.name": ground.name}
    assert seen.account is None
    assert seen.facts.version.startswith("v1.")


def test_policies_of_other_namespaces_stay_out_unless_they_are_ours(
    platform: KubernetesPlatform, cluster: Cluster, ground: Ground
) -> None:
    other = Ground(cluster, cluster.namespace("other"))
    other.policy("theirs", {"podSelector": {}})
    path = other.here("networkpolicies", "/apis/networking.k8s.io/v1")
    other.make(path, f"ours-{ground.name}", {"spec": {"podSelector": {}}}, labels={"firebreak.dev/incident": "inc-0"})
    ground.pod()
    seen = {policy.name for policy in observe(platform, "Pod", "web-1", ground.name).policies}
    assert f"ours-{ground.name}" in seen
    assert "theirs" not in seen


def test_a_controller_that_could_take_in_a_pod_without_labels_is_seen(
    platform: KubernetesPlatform, ground: Ground
) -> None:
    ground.pod(labels={"app": "web"})
    labels = {"app": "other"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    unlabelled = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
    spec = {"replicas": 1, "selector": unlabelled, "template": template}
    ground.make(ground.here("replicasets", "/apis/apps/v1"), "greedy", {"spec": spec})
    ground.deployment("db", {"app": "db"})
    seen = observe(platform, "Pod", "web-1", ground.name).selectors
    assert [(one.kind, one.name, one.selector) for one in seen] == [("ReplicaSet", "greedy", unlabelled)]


def test_a_pod_is_found_by_its_name_alone_where_that_is_enough(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.pod(f"only-{ground.name}")
    seen = observe(platform, "Pod", f"only-{ground.name}")
    assert (seen.reference.namespace, pods_of(seen)) == (ground.name, [f"only-{ground.name}"])


def test_a_name_that_means_several_pods_is_refused_with_their_namespaces(
    platform: KubernetesPlatform, cluster: Cluster, ground: Ground
) -> None:
    twin = Ground(cluster, cluster.namespace("twin"))
    for one in (ground, twin):
        one.pod(f"both-{ground.name}")
    with pytest.raises(TargetUnknown, match=f"is not one but 2, in {ground.name}, {twin.name}"):
        observe(platform, "Pod", f"both-{ground.name}")


def test_a_target_that_is_not_there_is_named(platform: KubernetesPlatform, ground: Ground) -> None:
    for resource in ("Pod", "Deployment", "ServiceAccount"):
        with pytest.raises(TargetUnknown, match=f"no {resource} {ground.name}/gone in cluster {CLUSTER}"):
            observe(platform, resource, "gone", ground.name)
    for resource in ("Node", "Namespace"):
        with pytest.raises(TargetUnknown, match=f"no {resource} gone in cluster"):
            observe(platform, resource, "gone")
    with pytest.raises(TargetUnknown, match="not a name"):
        observe(platform, "Pod", "../../nodes/n1", ground.name)


def test_a_pod_that_has_ended_is_no_target(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.pod()
    path = f"{ground.here('pods')}/web-1/status"
    ground.cluster.call("PATCH", path, {"status": {"phase": "Succeeded"}}, "application/merge-patch+json")
    with pytest.raises(TargetUnknown, match=r"has ended \(Succeeded\)"):
        observe(platform, "Pod", "web-1", ground.name)
    assert pods_of(observe(platform, "Namespace", ground.name)) == []


def test_a_deployment_has_its_own_pods_and_those_it_had_before_we_relabelled_them(
    platform: KubernetesPlatform, ground: Ground
) -> None:
    deployment = ground.deployment("web", {"app": "web"})
    replica_set = ground.replica_set("web-5d8f", deployment, {"app": "web", "pod-template-hash": "5d8f"})
    ground.pod("web-5d8f-a", {"app": "web"}, ownerReferences=[owned(replica_set)])
    ground.pod("web-5d8f-b", QUARANTINED, generateName="web-5d8f-")
    ground.pod("stranger", {"app": "web"})
    ground.pod("db-77-a", QUARANTINED, generateName="db-77-")
    seen = observe(platform, "Deployment", "web", ground.name)
    assert pods_of(seen) == ["web-5d8f-a", "web-5d8f-b"]
    owners = {(one.kind, one.name, one.replicas, one.owner) for one in seen.selectors}
    assert owners == {("Deployment", "web", 2, ""), ("ReplicaSet", "web-5d8f", 2, "Deployment/web")}
    assert seen.pods[0].controller == "ReplicaSet/web-5d8f"


def test_a_namespace_a_node_and_an_account_have_their_pods(platform: KubernetesPlatform, ground: Ground) -> None:
    node = ground.node()
    ground.account("shop")
    ground.pod("web-1", serviceAccountName="shop")
    ground.pod("web-2", nodeName=node)
    assert pods_of(observe(platform, "Namespace", ground.name)) == ["web-1", "web-2"]
    on_node = observe(platform, "Node", node)
    assert (pods_of(on_node), on_node.nodes[0].name, on_node.nodes[0].unschedulable) == (["web-2"], node, False)
    assert pods_of(observe(platform, "ServiceAccount", "shop", ground.name)) == ["web-1"]


def test_pods_of_many_namespaces_are_seen_with_the_policies_of_theirs_alone(
    platform: KubernetesPlatform, cluster: Cluster, ground: Ground
) -> None:
    node, grounds = ground.node(), [Ground(cluster, cluster.namespace("many")) for _ in range(5)]
    for one in grounds:
        one.pod(nodeName=node)
        one.policy("here", {"podSelector": {}})
        one.service("all", {})
    ground.policy("elsewhere", {"podSelector": {}})
    seen = observe(platform, "Node", node)
    assert {policy.namespace for policy in seen.policies if policy.name in ("here", "elsewhere")} == {
        one.name for one in grounds
    }


def test_long_lists_are_read_page_by_page(
    platform: KubernetesPlatform, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        ground.pod(f"web-{number}")
    monkeypatch.setattr(calls, "PAGE_ITEMS", 2)
    assert len(pods_of(observe(platform, "Namespace", ground.name))) == 5


def test_an_account_is_seen_with_what_names_it_only_when_it_is_wanted(
    platform: KubernetesPlatform, base_worker: ApiClient, ground: Ground
) -> None:
    ground.account("shop", labels={"team": "shop"})
    ground.pod(serviceAccountName="shop")
    token = "kubernetes.io/service-account-token"
    mark = {"kubernetes.io/service-account.name": "shop"}
    ground.make(ground.here("secrets"), "shop-token", {"type": token}, annotations=mark)
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subjects = [{"kind": "ServiceAccount", "name": "shop", "namespace": ground.name}]
    path = ground.here("rolebindings", "/apis/rbac.authorization.k8s.io/v1")
    ground.make(path, "reads", {"roleRef": role, "subjects": subjects})
    account = observe(platform, "Pod", "web-1", ground.name, revoke_tokens=True).account
    assert account is not None
    assert (account.name, account.labels, account.token_secrets) == ("shop", {"team": "shop"}, ("shop-token",))
    own = [binding for binding in account.bindings if binding.kind == "RoleBinding"]
    assert [(binding.name, list(binding.subjects)) for binding in own] == [("reads", subjects)]
    assert "system:basic-user" in {binding.name for binding in account.bindings}
    base = opened(base_worker)
    assert observe(base, "Pod", "web-1", ground.name).account is None
    with pytest.raises(PermissionMissing, match=r"list (secrets|rolebindings|clusterrolebindings)"):
        observe(base, "Pod", "web-1", ground.name, revoke_tokens=True)


def test_a_cluster_that_is_not_served_is_named_with_those_that_are(worker: ApiClient) -> None:
    with pytest.raises(TargetUnknown, match=r"in cluster other, which this worker does not serve\. It serves lab\."):
        open_platform({CLUSTER: worker})(workload("Pod", "web-1", "shop", "other"), "inc-1")
