"""A node is cordoned, and cut where the CNI holds hosts; elsewhere the plan names the agent that can."""

from typing import Any

import pytest

from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.marks import QUARANTINE
from playbooks.kubernetes.observation import KubernetesObservation, NodeSeen
from playbooks.platform_intent import TargetHeld
from tests.playbooks.kubernetes.cluster import CALICO, CILIUM, applied, plan, pod, policy, seen

HOST_FIREWALL = CILIUM.model_copy(update={"features": ("cilium-host-firewall",)})
ENDPOINT = policy("crd.projectcalico.org/v1/hostendpoints", "HostEndpoint", "n1-auto", node="n1").model_copy(
    update={"labels": {"kubernetes.io/hostname": "n1"}}
)


def node(**more: Any) -> KubernetesObservation:
    return seen("Node", "n1", **more)


def test_without_a_policy_for_hosts_a_node_is_cordoned_and_its_agent_named() -> None:
    change = plan(node())
    [cordon] = change.settings
    assert (cordon.resource, cordon.attribute, cordon.before, cordon.after) == ("node/n1", "unschedulable", False, True)
    assert cordon.essential
    assert change.mechanism == "cordon"
    assert any("kill-switch of its host" in words and "machine id 4c4c4544" in words for words in change.cannot)
    assert any("pod shop/web-1 keep" in words for words in change.stays)
    assert plan(applied(node(), *change.settings)).empty


def test_cilium_without_its_host_firewall_holds_no_host() -> None:
    assert plan(node(facts=CILIUM)).mechanism == "cordon"


def test_ciliums_host_policy_leaves_the_way_on_which_the_release_comes() -> None:
    change = plan(node(facts=HOST_FIREWALL))
    made, labels, cordon = change.settings
    spec: Any = made.after["spec"]  # type: ignore[index, call-overload]
    assert spec["nodeSelector"] == {"matchLabels": {QUARANTINE: "inc-4f1e"}}
    assert {"toEntities": ["kube-apiserver"]} in spec["egress"]
    assert not {"ingressDeny", "egressDeny"} & spec.keys()
    assert labels.after == {"kubernetes.io/hostname": "n1", QUARANTINE: "inc-4f1e"}
    assert cordon.attribute == "unschedulable"
    contained = applied(node(facts=HOST_FIREWALL), *change.settings)
    assert plan(contained).empty
    assert applied(contained, *change.inverse().settings) == node(facts=HOST_FIREWALL)


def test_other_host_policies_that_permit_something_are_named() -> None:
    api = "cilium.io/v2/ciliumclusterwidenetworkpolicies"
    other = policy(api, "CiliumClusterwideNetworkPolicy", "ssh", nodeSelector={}, ingress=[{"fromEntities": ["world"]}])
    change = plan(node(facts=HOST_FIREWALL, policies=(other,)))
    assert any("CiliumClusterwideNetworkPolicy ssh permits hosts" in words for words in change.cannot)


def test_calico_cuts_a_node_by_its_host_endpoint_but_for_its_lifeline() -> None:
    observation = node(facts=CALICO, policies=(ENDPOINT,))
    change = plan(observation)
    tier, denial, _ = change.settings
    spec: Any = denial.after["spec"]  # type: ignore[index, call-overload]
    assert spec["selector"] == "kubernetes.io/hostname == 'n1' && !has(projectcalico.org/namespace)"
    assert spec["egress"][0]["destination"] == {"services": {"name": "kubernetes", "namespace": "default"}}
    assert spec["egress"][-1] == {"action": "Deny", "source": {}, "destination": {}}
    assert spec["tier"] == tier.resource.rpartition("/")[2]
    assert any("fail-safe" in words for words in change.cannot)
    assert plan(applied(observation, *change.settings)).empty


def test_calico_without_a_host_endpoint_holds_no_host() -> None:
    assert plan(node(facts=CALICO)).mechanism == "cordon"


def test_pods_on_the_nodes_own_network_are_cut_with_it() -> None:
    change = plan(node(facts=HOST_FIREWALL, pods=(pod("proxy", host_network=True), pod())))
    assert any("pod shop/proxy, on the node's own network" in words for words in change.cuts)
    assert any("pod shop/web-1 keep their own network" in words for words in change.stays)


def test_a_node_of_another_incident_is_refused() -> None:
    with pytest.raises(TargetHeld, match="Node n1 is in quarantine for incident inc-other"):
        plan(node(nodes=(NodeSeen(name="n1", labels={QUARANTINE: "inc-other"}),)))


def test_a_node_that_was_not_seen_can_not_be_planned() -> None:
    with pytest.raises(TargetGone):
        plan(node(nodes=()))
