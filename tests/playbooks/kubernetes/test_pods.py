"""A pod is cut by the mechanism at hand; what stays open is named with the policy that keeps it open."""

import pytest

from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE, object_name
from playbooks.kubernetes.observation import ClusterFacts, NodeSeen
from playbooks.kubernetes.reach import Policies
from playbooks.platform_intent import TargetHeld
from tests.playbooks.kubernetes.cluster import (
    ADMIN,
    CALICO,
    CILIUM,
    EVERY_FACTS,
    OLD_ADMIN,
    applied,
    controller,
    network_policy,
    plan,
    pod,
    policy,
    seen,
    service,
)

NAME = object_name("inc-4f1e", "target-1")
WEB = {"matchLabels": {"app": "web"}}
ALLOW_WEB = network_policy("allow-web", podSelector=WEB, policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}])
SELECTORS = (
    service("web", app="web"),
    controller("ReplicaSet", "web-5d4f", {"app": "web", "pod-template-hash": "5d4f"}, owner="Deployment/web"),
)


def test_a_pod_that_another_policy_allows_is_cut_only_once_it_has_left_that_policy() -> None:
    observation = seen(policies=(ALLOW_WEB,), selectors=SELECTORS)
    deny, labels = plan(observation).settings
    half = applied(observation, deny)
    reach = Policies(half.policies, half.namespaces).reach(half.pods[0])
    assert [p.policy for p in reach.ingress.passages] == ["NetworkPolicy shop/allow-web"]
    whole = applied(half, labels)
    reach = Policies(whole.policies, whole.namespaces).reach(whole.pods[0])
    assert reach.ingress.closed
    assert reach.egress.closed


def test_the_policy_comes_first_and_the_labels_in_one_setting_after_it() -> None:
    change = plan(seen(policies=(ALLOW_WEB,), selectors=SELECTORS))
    deny, labels = change.settings
    assert deny.resource == f"object/networking.k8s.io/v1/networkpolicies/shop/{NAME}"
    assert deny.before is None
    assert deny.after == {
        "kind": "NetworkPolicy",
        "labels": {INCIDENT: "inc-4f1e"},
        "spec": {
            "podSelector": {"matchLabels": {QUARANTINE: "inc-4f1e"}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }
    assert (labels.resource, labels.attribute) == ("pod/shop/web-1", "labels")
    assert labels.before == {"app": "web", "pod-template-hash": "5d4f"}
    assert labels.after == {QUARANTINE: "inc-4f1e"}
    for named in ("NetworkPolicy shop/allow-web", "Service shop/web", "ReplicaSet shop/web-5d4f"):
        assert named in labels.words


def test_what_is_cut_and_what_becomes_of_controller_and_service_is_said() -> None:
    change = plan(seen(policies=(ALLOW_WEB,), selectors=SELECTORS))
    assert "pod shop/web-1: ingress from anywhere, let through by NetworkPolicy shop/allow-web" in change.cuts
    assert "pod shop/web-1: what Service shop/web sends there" in change.cuts
    assert any("ReplicaSet shop/web-5d4f replaces pod shop/web-1" in words for words in change.stays)
    assert not any("lets it through" in words for words in change.cannot)


def test_a_policy_of_every_pod_is_named_with_what_it_lets_through() -> None:
    dns = network_policy(
        "allow-dns", podSelector={}, policyTypes=["Egress"], egress=[{"ports": [{"protocol": "UDP", "port": 53}]}]
    )
    [left] = [words for words in plan(seen(policies=(dns,))).cannot if "lets it through" in words]
    assert "pod shop/web-1: egress to anywhere on UDP 53: NetworkPolicy shop/allow-dns lets it through" in left
    assert "only its owner can end it" in left


def test_the_stronger_mechanism_that_could_cut_it_is_named() -> None:
    everything = network_policy("open", podSelector={}, policyTypes=["Ingress"], ingress=[{}])
    change = plan(seen(facts=CILIUM, policies=(everything,)), mechanism="network-policy")
    assert any("the mechanism `cilium` would cut it" in words for words in change.cannot)
    assert not any("lets it through" in w for w in plan(seen(facts=CILIUM, policies=(everything,))).cannot)


@pytest.mark.parametrize("facts", EVERY_FACTS, ids=lambda facts: facts.apis[0])
def test_every_mechanism_closes_the_pod_and_is_planned_once(facts: ClusterFacts) -> None:
    observation = seen(facts=facts, policies=(ALLOW_WEB,), selectors=SELECTORS)
    change = plan(observation)
    contained = applied(observation, *change.settings)
    reach = Policies(contained.policies, contained.namespaces).reach(contained.pods[0])
    assert reach.egress.closed
    assert reach.ingress.closed
    assert plan(contained).empty
    assert applied(contained, *change.inverse().settings) == observation


@pytest.mark.parametrize("facts", [ADMIN, OLD_ADMIN], ids=["cluster", "admin"])
def test_where_the_admin_tier_has_no_word_for_a_peer_the_pod_leaves_the_policy_that_lets_it_in(
    facts: ClusterFacts,
) -> None:
    observation = seen(facts=facts, policies=(ALLOW_WEB,))
    change = plan(observation)
    plurals = [setting.resource.split("/")[3] for setting in change.settings[:2]]
    assert plurals == ["networkpolicies", facts.apis[0].split("/")[2]]
    assert change.settings[2].after == {"pod-template-hash": "5d4f", QUARANTINE: "inc-4f1e"}
    assert not any("lets it through" in words for words in change.cannot)
    inside = network_policy("inside", podSelector=WEB, ingress=[{"from": [{"podSelector": {}}]}])
    assert "app" in plan(seen(facts=facts, policies=(inside,))).settings[2].after  # type: ignore[operator]


def test_policies_elsewhere_that_except_by_a_label_that_is_gone_are_a_caveat_where_a_way_is_open() -> None:
    dns = network_policy("dns", podSelector={}, policyTypes=["Egress"], egress=[{"ports": [{"port": 53}]}])
    change = plan(seen(policies=(dns, ALLOW_WEB)))
    assert any("except pods by app do not except pod shop/web-1 any more" in words for words in change.cannot)
    assert not any("any more" in words for words in plan(seen(policies=(ALLOW_WEB,))).cannot)


def test_a_policy_of_the_same_priority_is_named() -> None:
    api = "policy.networking.k8s.io/v1alpha1/adminnetworkpolicies"
    other = policy(api, "AdminNetworkPolicy", "first", priority=0, subject={"namespaces": {}}, ingress=[])
    change = plan(seen(facts=OLD_ADMIN, policies=(other,)))
    assert any("AdminNetworkPolicy first has priority 0 too" in words for words in change.cannot)


def test_calico_is_given_a_tier_before_every_other() -> None:
    tier = policy("crd.projectcalico.org/v1/tiers", "Tier", "early", order=-7.5)
    made, denial, labels = plan(seen(facts=CALICO, policies=(tier,))).settings
    assert made.resource == f"object/crd.projectcalico.org/v1/tiers/-/{NAME}"
    assert made.after == {
        "kind": "Tier",
        "labels": {INCIDENT: "inc-4f1e"},
        "spec": {"order": -9, "defaultAction": "Deny"},
    }
    assert denial.resource.endswith(f"/globalnetworkpolicies/-/{NAME}.{NAME}")
    assert labels.after == {"app": "web", "pod-template-hash": "5d4f", QUARANTINE: "inc-4f1e"}


def test_calico_without_tiers_is_given_the_first_policy_of_the_default_one() -> None:
    api = "crd.projectcalico.org/v1/globalnetworkpolicies"
    old = CALICO.model_copy(update={"apis": (api,)})
    first = policy(
        api, "GlobalNetworkPolicy", "default.first", order=-3, selector="all()", ingress=[{"action": "Allow"}]
    )
    observation = seen(facts=old, policies=(first,))
    change = plan(observation)
    assert change.settings[0].resource == f"object/{api}/-/default.{NAME}"
    contained = applied(observation, *change.settings)
    assert Policies(contained.policies, contained.namespaces).reach(contained.pods[0]).ingress.closed
    assert plan(contained).empty


def test_pods_stay_in_services_where_the_playbook_says_so() -> None:
    change = plan(seen(facts=CILIUM, selectors=SELECTORS), remove_from_services=False)
    assert change.settings[-1].after == {"app": "web", "pod-template-hash": "5d4f", QUARANTINE: "inc-4f1e"}
    assert any("Service shop/web goes on listing" in words for words in change.stays)


def test_a_pod_on_its_nodes_network_escalates_to_the_node() -> None:
    on_host = pod(host_network=True)
    observation = seen(pods=(on_host,), nodes=(NodeSeen(name="n1", machine_id="4c4c4544"),), selectors=SELECTORS)
    change = plan(observation, cordon=True)
    assert change.mechanism == "escalate-to-node"
    assert not any(setting.resource.startswith("object/") for setting in change.settings)
    [escalation] = [words for words in change.cannot if "escalate" in words]
    assert "node n1 (machine id 4c4c4544)" in escalation
    assert "blast radius" in escalation
    assert {s.resource for s in change.settings} == {"pod/shop/web-1", "node/n1"}
    assert not change.empty
    assert plan(applied(observation, *change.settings), cordon=True).empty


def test_established_connections_and_the_pods_own_node_are_never_called_cut() -> None:
    for facts in EVERY_FACTS:
        cannot = plan(seen(facts=facts)).cannot
        assert any("established" in words and "probe" in words for words in cannot)
        assert any("kubelet" in words for words in cannot)


def test_two_targets_of_one_incident_share_no_object() -> None:
    first, second = plan(seen()), plan(seen(), target_id="target-2")
    assert first.settings[0].resource != second.settings[0].resource


def test_an_object_of_ours_that_was_edited_is_set_right() -> None:
    observation = seen()
    contained = applied(observation, *plan(observation).settings)
    edited = contained.policies[0].model_copy(update={"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}})
    [setting] = plan(contained.model_copy(update={"policies": (edited,)})).settings
    assert setting.edited["spec"] == edited.spec  # type: ignore[index, call-overload]
    assert setting.before is None, "before us there was none: the release deletes it"
    assert setting.resource.endswith(NAME)


def test_a_pod_in_quarantine_for_another_incident_is_refused() -> None:
    with pytest.raises(TargetHeld, match="Pod shop/web-1 is in quarantine for incident inc-other"):
        plan(seen(pods=(pod(labels={QUARANTINE: "inc-other"}),)))


def test_a_pod_that_a_policy_of_another_incident_selects_is_refused() -> None:
    theirs = network_policy("firebreak-inc-other", podSelector=WEB, policyTypes=["Ingress"])
    with pytest.raises(TargetHeld, match="firebreak-inc-other for incident inc-other"):
        plan(seen(policies=(theirs.model_copy(update={"labels": {INCIDENT: "inc-other"}}),)))


def test_a_pod_that_is_gone_can_not_be_planned() -> None:
    with pytest.raises(TargetGone):
        plan(seen(pods=()))


def test_nothing_ends_the_lease_of_a_dead_firebreak() -> None:
    assert "holds until Firebreak runs again" in plan(seen()).dead_man
