"""The judge is judged where the answer is known: what it says of these few pods can be read off the policies."""

from typing import Any

import pytest

from lab.cluster import Cluster
from tests.judge import ALL, EVERY_IPV4, EVERY_IPV6, Connection, JudgeError, connections, connects, of_cluster

Manifest = dict[str, Any]


def pod(name: str, **labels: str) -> Manifest:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": name, **labels}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def policy(name: str, selects: str, ingress: list[Manifest]) -> Manifest:
    spec = {"podSelector": {"matchLabels": {"app": selects}}, "policyTypes": ["Ingress"], "ingress": ingress}
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


WEB, DB = pod("web"), pod("db")
DENY_ALL = policy("deny-all", "db", [])
ALLOW_WEB = policy(
    "allow-web", "db", [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]}]
)


def test_without_policies_everything_connects() -> None:
    ends = ("shop/web", "shop/db", EVERY_IPV4, EVERY_IPV6)
    outside = {EVERY_IPV4, EVERY_IPV6}
    expected = {Connection(a, b, ALL) for a in ends for b in ends if a != b and not {a, b} <= outside}
    assert connections([WEB, DB]) == expected


def test_deny_all_cuts_what_it_selects() -> None:
    judged = connections([WEB, DB, DENY_ALL])
    assert not connects(judged, "shop/web", "shop/db")
    assert connects(judged, "shop/db", "shop/web")


def test_deny_all_beside_a_policy_that_allows_cuts_nothing_of_what_that_allows() -> None:
    judged = connections([WEB, DB, DENY_ALL, ALLOW_WEB])
    assert Connection("shop/web", "shop/db", "{protocols:TCP,dst_ports:5432}") in judged
    assert not connects(judged, EVERY_IPV4, "shop/db")


def test_pods_of_one_owner_are_judged_one_by_one() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "db", "uid": "1", "controller": True}
    replicas = [pod("db-1", app="other"), pod("db-2", app="db")]
    for replica in replicas:
        replica["metadata"]["ownerReferences"] = [owner]
    judged = connections([WEB, *replicas, DENY_ALL])
    assert connects(judged, "shop/web", "shop/db-1")
    assert not connects(judged, "shop/web", "shop/db-2")


def test_calico_policy_that_denies_first_wins_over_one_that_allows() -> None:
    spec = {"order": 1, "selector": "app == 'db'", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}
    deny = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "q"},
        "spec": spec,
    }
    assert not connects(connections([WEB, DB, ALLOW_WEB, deny]), "shop/web", "shop/db")


def test_istio_policy_cuts_tcp_and_nothing_else() -> None:
    spec = {"selector": {"matchLabels": {"app": "db"}}, "action": "DENY", "rules": [{}]}
    metadata = {"name": "q", "namespace": "shop"}
    deny = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    judged = connections([WEB, DB, deny])
    assert {one.what for one in judged if one[:2] == ("shop/web", "shop/db")} == {f"non-TCP: {ALL}"}


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
        ("cilium.io/v2", "CiliumNetworkPolicy"),
        ("crd.projectcalico.org/v1", "GlobalNetworkPolicy"),
    ],
)
def test_policy_that_the_judge_would_pass_over_is_refused(version: str, kind: str) -> None:
    unread = {"apiVersion": version, "kind": kind, "metadata": {"name": "q"}, "spec": {}}
    with pytest.raises(JudgeError, match=kind):
        connections([WEB, DB, unread])


def test_pod_on_the_network_of_its_node_is_refused() -> None:
    on_node = pod("proxy")
    on_node["spec"]["hostNetwork"] = True
    with pytest.raises(JudgeError, match="proxy"):
        connections([on_node])


def test_broken_policy_is_an_error_and_no_judgement() -> None:
    broken = {**DENY_ALL, "spec": {"podSelector": {"matchLabel": {}}}}
    with pytest.raises(JudgeError, match="matchLabel"):
        connections([WEB, DB, broken])


def test_objects_of_a_cluster_are_judged_as_they_stand(cluster: Cluster) -> None:
    here = cluster.namespace("judged")
    for manifest, path in (
        (WEB, f"/api/v1/namespaces/{here}/pods"),
        (DB, f"/api/v1/namespaces/{here}/pods"),
        (DENY_ALL, f"/apis/networking.k8s.io/v1/namespaces/{here}/networkpolicies"),
    ):
        cluster.call("POST", path, {**manifest, "metadata": {**manifest["metadata"], "namespace": here}})
    judged = of_cluster(cluster, here)
    assert not connects(judged, f"{here}/web", f"{here}/db")
    assert connects(judged, f"{here}/db", f"{here}/web")
