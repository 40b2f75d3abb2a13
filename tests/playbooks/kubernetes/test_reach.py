"""Effective reach comes from every policy that selects a pod, of every kind, in the order in which they are asked."""

from typing import Any

import pytest

from playbooks.kubernetes.observation import PodSeen, PolicySeen
from playbooks.kubernetes.reach import NOBODY, Lane, Policies, more_open
from tests.playbooks.kubernetes.cluster import NAMESPACES, network_policy, pod, policy

ADMIN = "policy.networking.k8s.io/v1alpha2/clusternetworkpolicies"
OLD_ADMIN = "policy.networking.k8s.io/v1alpha1/adminnetworkpolicies"
BASELINE = "policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies"
CILIUM = "cilium.io/v2/ciliumnetworkpolicies"
CALICO = "projectcalico.org/v3/globalnetworkpolicies"
TIER = "projectcalico.org/v3/tiers"
WEB = {"matchLabels": {"app": "web"}}
IN_SHOP = {"namespaces": {"matchLabels": {"team": "web"}}}
EVERY_POD: list[Any] = [{"namespaces": {}}]


def ingress(*policies: PolicySeen, of: PodSeen | None = None) -> Lane:
    return Policies(policies, NAMESPACES).reach(of or pod()).ingress


def egress(*policies: PolicySeen) -> Lane:
    return Policies(policies, NAMESPACES).reach(pod()).egress


def permitting(name: str, rule: Any, **spec: Any) -> PolicySeen:
    return network_policy(name, podSelector=WEB, policyTypes=["Ingress"], ingress=[rule], **spec)


DENY_ALL = network_policy("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
FROM_LB = permitting("lb", {"from": [{"podSelector": {"matchLabels": {"app": "lb"}}}], "ports": [{"port": 80}]})


def cilium(name: str, **spec: Any) -> PolicySeen:
    return policy(CILIUM, "CiliumNetworkPolicy", name, "shop", **{"endpointSelector": WEB, **spec})


def calico(name: str, order: float, action: str, tier: str = "default", **rule: Any) -> PolicySeen:
    spec = {"order": order, "tier": tier, "selector": "app == 'web'", "types": ["Ingress"]}
    return policy(CALICO, "GlobalNetworkPolicy", name, ingress=[{"action": action, **rule}], **spec)


def tier(name: str, order: float, **spec: Any) -> PolicySeen:
    return policy(TIER, "Tier", name, order=order, **spec)


def admin(name: str, priority: int, action: str, **rule: Any) -> PolicySeen:
    rules = [{"action": action, "from": EVERY_POD, **rule}]
    return policy(ADMIN, "ClusterNetworkPolicy", name, tier="Admin", priority=priority, subject=IN_SHOP, ingress=rules)


def test_a_pod_that_no_policy_selects_is_open() -> None:
    [passage] = ingress(network_policy("elsewhere", "data", podSelector={}, policyTypes=["Ingress"])).passages
    assert passage.policy == NOBODY


def test_permissions_add_up_and_a_deny_all_beside_them_cuts_nothing() -> None:
    [passage] = ingress(DENY_ALL, FROM_LB).passages
    assert passage.policy == "NetworkPolicy shop/lb"
    assert passage.words == "from pods app=lb of its namespace on TCP 80"


def test_a_policy_of_one_direction_leaves_the_other_open() -> None:
    assert not ingress(permitting("nothing", {})).closed
    assert ingress(network_policy("none", podSelector={}, policyTypes=["Ingress"])).closed
    assert [p.policy for p in egress(FROM_LB).passages] == [NOBODY]


def test_types_that_are_left_out_are_filled_in_as_the_api_server_does() -> None:
    both = network_policy("both", podSelector={}, egress=[])
    assert ingress(both).closed
    assert egress(both).closed


def test_an_admin_denial_of_every_pod_leaves_only_what_is_no_pod() -> None:
    [passage] = ingress(
        admin("deny", 5, "Deny"), permitting("block", {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})
    ).passages
    assert passage.sides == {"outside"}
    assert passage.words == "from 10.0.0.0/8"
    assert ingress(admin("deny", 5, "Deny"), FROM_LB).closed


def test_the_lower_priority_number_decides() -> None:
    assert not ingress(DENY_ALL, admin("allow", 1, "Accept"), admin("deny", 5, "Deny")).closed
    assert ingress(DENY_ALL, admin("allow", 9, "Accept"), admin("deny", 5, "Deny")).closed


def test_pass_hands_over_to_network_policies() -> None:
    assert not ingress(admin("pass", 1, "Pass"), admin("deny", 5, "Deny"), FROM_LB).closed


def test_a_denial_of_some_ports_closes_nothing_and_is_noted() -> None:
    lane = ingress(admin("deny", 1, "Deny", protocols=[{"tcp": {}}]), FROM_LB)
    assert not lane.closed
    assert lane.denials == {("ClusterNetworkPolicy deny", "from every pod on certain ports")}


def test_every_address_as_destination_closes_egress() -> None:
    subject = {"pods": {"namespaceSelector": {}, "podSelector": WEB}}
    rules = [{"action": "Deny", "to": [{"networks": ["0.0.0.0/0", "::/0"]}]}]
    assert egress(policy(OLD_ADMIN, "AdminNetworkPolicy", "deny", priority=0, subject=subject, egress=rules)).closed
    rules = [{"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]}]
    assert not egress(policy(OLD_ADMIN, "AdminNetworkPolicy", "v4", priority=0, subject=subject, egress=rules)).closed


def test_the_baseline_is_asked_only_of_pods_without_a_network_policy() -> None:
    rules = [{"action": "Deny", "from": EVERY_POD}]
    baseline = policy(BASELINE, "BaselineAdminNetworkPolicy", "default", subject=IN_SHOP, ingress=rules)
    assert {p.sides for p in ingress(baseline).passages} == {frozenset({"outside"})}
    assert [p.policy for p in ingress(baseline, FROM_LB).passages] == ["NetworkPolicy shop/lb"]


def test_a_denial_of_cilium_beats_every_permission() -> None:
    everything = cilium("deny", ingressDeny=[{"fromEntities": ["all"]}])
    assert ingress(FROM_LB, everything, cilium("allow", ingress=[{"fromEntities": ["all"]}])).closed
    assert [p.policy for p in egress(everything).passages] == [NOBODY]


def test_a_denial_of_the_world_leaves_the_cluster() -> None:
    world = cilium("deny", ingressDeny=[{"fromEntities": ["world"]}], ingress=[{"fromEntities": ["cluster"]}])
    lane = ingress(world)
    assert [p.words for p in lane.passages] == ["from cluster"]
    assert lane.denials


def test_permissions_of_cilium_add_up_with_those_of_kubernetes() -> None:
    rule = {"fromEndpoints": [{"matchLabels": {"k8s:app": "lb"}}], "toPorts": [{"ports": [{"port": "80"}]}]}
    lane = ingress(DENY_ALL, FROM_LB, cilium("allow", ingress=[rule]))
    assert "from endpoints app=lb on ANY 80" in [p.words for p in lane.passages]
    assert "from pods app=lb of its namespace on TCP 80" in [p.words for p in lane.passages]


def test_cilium_selects_by_prefixed_labels_and_by_namespace() -> None:
    labels = {"k8s:app": "web", "k8s:io.kubernetes.pod.namespace": "shop"}
    selecting = cilium("deny", endpointSelector={"matchLabels": labels}, ingressDeny=[{"fromEntities": ["all"]}])
    assert ingress(selecting).closed
    assert not ingress(selecting, of=pod(labels={"app": "db"})).closed


def test_a_policy_without_default_deny_leaves_the_rest_open() -> None:
    rule: dict[str, Any] = {"ingress": [{"fromEntities": ["host"]}], "enableDefaultDeny": {"ingress": False}}
    assert NOBODY in [p.policy for p in ingress(cilium("open", **rule)).passages]


def test_the_first_tier_of_calico_decides() -> None:
    first = (tier("first", -1), calico("first.deny", 0, "Deny", "first"))
    assert ingress(*first, FROM_LB, calico("allow", -5, "Allow")).closed
    last = (tier("last", 2_000), calico("last.deny", 0, "Deny", "last"), tier("early", 5))
    assert not ingress(*last, calico("early.allow", 0, "Allow", "early")).closed


def test_a_tier_ends_what_it_does_not_pass_on_unless_it_says_otherwise() -> None:
    rules: dict[str, Any] = {"source": {"selector": "app == 'lb'"}}
    assert [p.policy for p in ingress(tier("t", 5), calico("t.a", 0, "Allow", "t", **rules)).passages] == [
        "GlobalNetworkPolicy t.a"
    ]
    passing = (tier("t", 5, defaultAction="Pass"), calico("t.a", 0, "Allow", "t", **rules))
    assert NOBODY in [p.policy for p in ingress(*passing).passages]


def test_order_within_a_tier_decides_and_network_policies_stand_at_1000() -> None:
    assert ingress(calico("deny", 10, "Deny"), FROM_LB).closed
    assert not ingress(calico("deny", 2_000, "Deny"), FROM_LB).closed


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (calico("x.p", 0, "Deny", "x"), "tier x was not seen"),
        (policy("crd.antrea.io/v1beta1/clusternetworkpolicies", "ClusterNetworkPolicy", "acnp"), "not interpreted"),
        (policy(CALICO, "GlobalNetworkPolicy", "odd", selector="app ~ 'web'"), "can't be read"),
        (network_policy("odd", podSelector={"app": "web"}), "no label selector"),
    ],
)
def test_what_can_not_be_read_is_unknown_with_its_reason(unreadable: PolicySeen, reason: str) -> None:
    lane = ingress(DENY_ALL, unreadable)
    assert not lane.closed
    [unknown] = lane.unknown
    assert reason in unknown.reason


def test_losing_a_denial_that_we_can_not_weigh_counts_as_opening() -> None:
    allowed, partly = Policies((FROM_LB,), NAMESPACES), admin("deny", 1, "Deny", protocols=[{"tcp": {}}])
    denied = Policies((FROM_LB, partly), NAMESPACES)
    assert more_open(denied.reach(pod()), allowed.reach(pod()))
    assert not more_open(allowed.reach(pod()), denied.reach(pod()))


def test_a_permission_within_one_that_stood_before_opens_nothing() -> None:
    before = Policies((permitting("all", {}),), NAMESPACES).reach(pod())
    after = Policies((FROM_LB,), NAMESPACES).reach(pod())
    assert not more_open(before, after)
    assert more_open(after, before)
