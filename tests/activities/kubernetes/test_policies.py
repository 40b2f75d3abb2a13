"""Policies of add-ons: seen where they matter, written and taken away; with the definitions their makers publish."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.kubernetes.platform import KubernetesPlatform
from lab.cluster import Cluster
from playbooks.kubernetes.observation import PolicySeen
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.making import INCIDENT, MOMENT, Ground, change, intent, setting, workload

CILIUM, ISTIO, ADMIN = "/apis/cilium.io/v2", "/apis/security.istio.io/v1", "/apis/policy.networking.k8s.io/v1alpha2"
CALICO = "/apis/crd.projectcalico.org/v1"
OURS = {"firebreak.dev/incident": INCIDENT}


def make(ground: Ground, root: str, plural: str, kind: str, spec: dict[str, Any], **metadata: Any) -> str:
    """Makes a policy in a namespace, or with `wide` in the cluster; called after the namespace either way."""
    wide = metadata.pop("wide", False)
    name = metadata.pop("name", f"{ground.name}-{plural}")
    path = f"{root}/{plural}" if wide else ground.here(plural, root)
    ground.make(path, name, {"apiVersion": root.removeprefix("/apis/"), "kind": kind, **spec}, **metadata)
    return str(name)


def policies(platform: KubernetesPlatform, ground: Ground) -> dict[str, PolicySeen]:
    target = workload("Pod", "web-1", ground.name)
    return {policy.name: policy for policy in platform.observe(target, intent(target)).policies}


def test_every_kind_of_policy_is_seen_in_its_scope(served: Cluster, ground: Ground, worker: ApiClient) -> None:
    other = Ground(served, served.namespace("other"))
    ground.pod()
    deny = {"spec": {"endpointSelector": {}, "ingressDeny": [{"fromEntities": ["all"]}]}}
    admin = {"spec": {"tier": "Admin", "priority": 10, "subject": {"namespaces": {}}}}
    seen_names = {
        make(ground, CILIUM, "ciliumnetworkpolicies", "CiliumNetworkPolicy", deny),
        make(ground, CILIUM, "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy", deny, wide=True),
        make(ground, ADMIN, "clusternetworkpolicies", "ClusterNetworkPolicy", admin, wide=True),
        make(ground, ISTIO, "authorizationpolicies", "AuthorizationPolicy", {"spec": {"action": "DENY"}}),
        make(ground, CALICO, "networkpolicies", "NetworkPolicy", {"spec": {"order": 1}}),
        make(ground, CALICO, "globalnetworkpolicies", "GlobalNetworkPolicy", {"spec": {"order": 2}}, wide=True),
        make(ground, CALICO, "tiers", "Tier", {"spec": {"order": 3}}, wide=True),
        make(other, CALICO, "networkpolicies", "NetworkPolicy", {"spec": {}}, labels=OURS),
    }
    unseen = {
        make(other, CILIUM, "ciliumnetworkpolicies", "CiliumNetworkPolicy", deny),
        make(other, ISTIO, "authorizationpolicies", "AuthorizationPolicy", {"spec": {}}),
    }
    found = policies(opened(worker), ground)
    assert seen_names <= found.keys()
    assert not unseen & found.keys()
    cilium = found[f"{ground.name}-ciliumnetworkpolicies"]
    assert (cilium.group, cilium.version, cilium.resource, cilium.kind, cilium.namespace) == (
        "cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", ground.name,
    )  # fmt: skip
    assert cilium.spec == deny["spec"]


def test_several_specs_of_a_cilium_policy_are_all_seen(served: Cluster, ground: Ground, worker: ApiClient) -> None:
    ground.pod()
    specs: list[dict[str, Any]] = [{"endpointSelector": {}, "ingress": [{}]}, {"endpointSelector": {}, "egress": [{}]}]
    name = make(ground, CILIUM, "ciliumnetworkpolicies", "CiliumNetworkPolicy", {"specs": specs})
    assert policies(opened(worker), ground)[name].spec == {"specs": specs}


def test_host_endpoints_are_seen_of_the_pods_nodes_alone(served: Cluster, ground: Ground, worker: ApiClient) -> None:
    ground.pod(nodeName=ground.node())
    for node in (ground.name, "elsewhere"):
        name = f"{ground.name}-on-{node}"
        make(ground, CALICO, "hostendpoints", "HostEndpoint", {"spec": {"node": node}}, wide=True, name=name)
    found = policies(opened(worker), ground)
    assert f"{ground.name}-on-{ground.name}" in found
    assert f"{ground.name}-on-elsewhere" not in found


@pytest.mark.parametrize(
    ("path", "kind", "spec"),
    [
        ("cilium.io/v2/ciliumnetworkpolicies", "CiliumNetworkPolicy",
         {"endpointSelector": {"matchLabels": {"firebreak.dev/quarantine": INCIDENT}},
          "ingressDeny": [{"fromEntities": ["all"]}], "egressDeny": [{"toEntities": ["all"]}]}),
        ("security.istio.io/v1/authorizationpolicies", "AuthorizationPolicy", {"action": "DENY", "rules": [{}]}),
        ("policy.networking.k8s.io/v1alpha2/clusternetworkpolicies", "ClusterNetworkPolicy",
         {"tier": "Admin", "priority": 0, "subject": {"namespaces": {"matchLabels": {"shop": "web"}}}}),
        ("crd.projectcalico.org/v1/tiers", "Tier", {"order": -1, "defaultAction": "Deny"}),
    ],
)  # fmt: skip
def test_a_policy_of_every_kind_is_made_and_taken_away(
    served: Cluster, ground: Ground, platform: KubernetesPlatform, path: str, kind: str, spec: dict[str, Any]
) -> None:
    wide = kind in ("ClusterNetworkPolicy", "Tier")
    resource = f"object/{path}/{'-' if wide else ground.name}/{ground.name}"
    planned = change(setting(resource, "object", None, {"kind": kind, "labels": {**OURS}, "spec": spec}))
    assert engine.dry_run(platform, planned).differing == ()
    engine.apply(platform, planned, MOMENT)
    assert engine.verify(platform, planned).differing == ()
    assert engine.apply(platform, planned, MOMENT).already_standing
    assert engine.release(platform, planned, MOMENT, overwrite=False).restored
    assert platform.read(planned.settings[0]) is None


@pytest.fixture
def installed(served: Cluster) -> Iterator[Cluster]:
    """Cilium's agent with its host firewall on, and Istio's control plane; gone afterwards, for the sake of others."""
    label = {"matchLabels": {"app": "x"}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"spec": {"selector": label, "template": template}}
    served.call("POST", "/api/v1/namespaces", {"metadata": {"name": "istio-system"}})
    made: dict[str, dict[str, Any]] = {
        "/apis/apps/v1/namespaces/kube-system/daemonsets": {"metadata": {"name": "cilium"}, **body},
        "/apis/apps/v1/namespaces/default/daemonsets": {"metadata": {"name": "calico-node"}, **body},
        "/apis/apps/v1/namespaces/istio-system/deployments": {
            "metadata": {"name": "istiod", "labels": {"app": "istiod"}}, **body,
        },
        "/api/v1/namespaces/kube-system/configmaps": {
            "metadata": {"name": "cilium-config"}, "data": {"enable-host-firewall": "true"},
        },
    }  # fmt: skip
    for path, manifest in made.items():
        served.call("POST", path, manifest)
    yield served
    for path, manifest in made.items():
        served.call("DELETE", f"{path}/{manifest['metadata']['name']}")


def test_what_the_cluster_has_is_found_by_discovery_and_by_what_runs(
    installed: Cluster, ground: Ground, worker: ApiClient
) -> None:
    ground.pod()
    rule = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": {"action": "DENY"}}
    root = f"{ISTIO}/namespaces/istio-system/authorizationpolicies"
    ground.make(root, ground.name, rule)
    platform = opened(worker)
    target = workload("Pod", "web-1", ground.name)
    seen = platform.observe(target, intent(target))
    assert seen.facts.cni == ("cilium",)
    assert (seen.facts.mesh, seen.facts.features) == (("istio",), ("cilium-host-firewall",))
    assert {"networking.k8s.io/v1/networkpolicies", "cilium.io/v2/ciliumnetworkpolicies"} <= set(seen.facts.apis)
    assert ("istio-system", ground.name) in {(policy.namespace, policy.name) for policy in seen.policies}
