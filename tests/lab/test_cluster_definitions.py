from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException

from lab import cluster_parts
from lab.cluster import Cluster
from lab.cluster_parts import ClusterUnavailableError

CILIUM, ISTIO, ADMIN = "/apis/cilium.io/v2", "/apis/security.istio.io/v1", "/apis/policy.networking.k8s.io/v1alpha2"


def custom(kind: str, spec: dict[str, Any], name: str = "p") -> dict[str, Any]:
    versions = {"CiliumNetworkPolicy": CILIUM, "AuthorizationPolicy": ISTIO, "ClusterNetworkPolicy": ADMIN}
    return {
        "apiVersion": versions[kind].removeprefix("/apis/"),
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def refusal(cluster: Cluster, path: str, body: dict[str, Any]) -> ApiException:
    with pytest.raises(ApiException) as refused:
        cluster.call("POST", path, body)
    return refused.value


def test_cilium_policy_is_kept_and_nonsense_is_refused(cluster: Cluster) -> None:
    cluster.install_crds("cilium")
    path = f"{CILIUM}/namespaces/{cluster.namespace('cilium')}/ciliumnetworkpolicies"
    deny = {"endpointSelector": {"matchLabels": {"app": "web"}}, "ingressDeny": [{"fromEntities": ["all"]}]}
    assert cluster.call("POST", path, custom("CiliumNetworkPolicy", deny))["spec"] == deny
    nonsense = custom("CiliumNetworkPolicy", {**deny, "ingressDeny": [{"fromEntities": ["everybody"]}]}, "q")
    refused = refusal(cluster, path, nonsense)
    assert refused.status == 422
    assert "fromEntities" in str(refused.body)


def test_istio_policy_is_kept_and_nonsense_is_refused(cluster: Cluster) -> None:
    cluster.install_crds("istio")
    path = f"{ISTIO}/namespaces/{cluster.namespace('istio')}/authorizationpolicies"
    assert cluster.call("POST", path, custom("AuthorizationPolicy", {"action": "DENY", "rules": [{}]}))
    refused = refusal(cluster, path, custom("AuthorizationPolicy", {"action": "FORBID"}, "q"))
    assert refused.status == 422
    assert "spec.action" in str(refused.body)


def test_cluster_network_policy_is_kept_and_nonsense_is_refused(cluster: Cluster) -> None:
    cluster.install_crds("policy-api")
    name, path = cluster.namespace("admin"), f"{ADMIN}/clusternetworkpolicies"
    spec = {"tier": "Admin", "priority": 10, "subject": {"namespaces": {"matchLabels": {"quarantine": "yes"}}}}
    assert cluster.call("POST", path, custom("ClusterNetworkPolicy", spec, name))
    refused = refusal(cluster, path, custom("ClusterNetworkPolicy", {**spec, "priority": 5000}, f"{name}-q"))
    assert refused.status == 422
    assert "spec.priority" in str(refused.body)


def test_definitions_are_installed_once(cluster: Cluster) -> None:
    cluster.install_crds("policy-api")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusternetworkpolicies.policy.networking.k8s.io"
    before = cluster.call("GET", path)["metadata"]["resourceVersion"]
    cluster.install_crds("policy-api")
    assert cluster.call("GET", path)["metadata"]["resourceVersion"] == before


def test_calico_definitions_come_from_the_folder_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crd.yaml").touch()
    monkeypatch.setenv(cluster_parts.CALICO_VARIABLE, str(tmp_path))
    assert cluster_parts.definitions("calico") == [tmp_path / "crd.yaml"]


def test_calico_without_a_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cluster_parts.CALICO_VARIABLE, raising=False)
    with pytest.raises(ClusterUnavailableError, match=cluster_parts.CALICO_VARIABLE):
        cluster_parts.definitions("calico")
