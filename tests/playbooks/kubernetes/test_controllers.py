"""The pods of a controller and of a namespace are cut, those that come later too where a mechanism holds for them."""

from typing import Any

import pytest

from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.marks import QUARANTINE
from playbooks.kubernetes.observation import ClusterFacts, KubernetesObservation
from playbooks.kubernetes.reach import Policies
from playbooks.platform_intent import TargetHeld
from tests.playbooks.kubernetes.cluster import (
    ADMIN,
    CALICO,
    CILIUM,
    EVERY_FACTS,
    INCIDENT_ID,
    PLAIN,
    applied,
    controller,
    network_policy,
    plan,
    pod,
    seen,
)

PODS = (pod("web-1"), pod("web-2"), pod("web-3", labels={"app": "web", "pod-template-hash": "77aa"}))
REPLICA_SET = {"app": "web", "pod-template-hash": "5d4f"}
SELECTORS = (
    controller("Deployment", "web", {"app": "web"}, replicas=3),
    controller("ReplicaSet", "web-5d4f", REPLICA_SET, replicas=2, owner="Deployment/web"),
)
ALLOW_WEB = network_policy(
    "allow-web",
    podSelector={"matchLabels": {"app": "web"}},
    policyTypes=["Ingress", "Egress"],
    ingress=[{}],
    egress=[{}],
)
STRONGER = [facts for facts in EVERY_FACTS if facts != PLAIN]


def deployment(facts: ClusterFacts = PLAIN, **more: Any) -> KubernetesObservation:
    pods = tuple(one.model_copy(update={"controller": "ReplicaSet/web-5d4f"}) for one in PODS)
    return seen("Deployment", "web", **{"facts": facts, "pods": pods, "selectors": SELECTORS, **more})


def closed(observation: KubernetesObservation, labels: dict[str, str]) -> bool:
    reach = Policies(observation.policies, observation.namespaces).reach(pod("new", labels=labels))
    return reach.egress.closed and reach.ingress.closed


@pytest.mark.parametrize("facts", STRONGER, ids=lambda facts: facts.apis[0])
def test_a_controllers_pods_are_selected_as_it_selects_them_and_keep_their_labels(facts: ClusterFacts) -> None:
    observation = deployment(facts)
    change = plan(observation)
    assert not [setting for setting in change.settings if setting.attribute == "labels"]
    contained = applied(observation, *change.settings)
    assert closed(contained, {"app": "web", "pod-template-hash": "a-later-one"})
    assert not closed(contained, {"app": "db"})
    assert plan(contained).empty


def test_what_the_admin_tier_has_no_word_for_is_named_where_labels_are_kept() -> None:
    change = plan(deployment(ADMIN, policies=(ALLOW_WEB,)))
    [left] = [words for words in change.cannot if "lets it through" in words]
    assert "ingress from anywhere (with nodes, pods on a host's network and beyond the cluster)" in left
    assert "`network-policy`, which takes each pod out" in left


def test_with_plain_network_policies_every_pod_is_relabelled_and_replacements_are_named() -> None:
    observation = deployment(policies=(ALLOW_WEB,))
    change = plan(observation)
    assert [s.resource for s in change.settings if s.attribute == "labels"] == [f"pod/shop/web-{n}" for n in (1, 2, 3)]
    assert [s.resource.split("/")[0] for s in change.settings] == ["object", "object", "pod", "pod", "pod"]
    contained = applied(observation, *change.settings)
    assert all(closed(contained, one.labels) for one in contained.pods)
    assert any("starts in place of the relabelled ones" in words for words in change.cannot)
    assert plan(contained).empty


def test_replacements_are_held_as_far_as_no_other_policy_permits_them() -> None:
    contained = applied(deployment(), *plan(deployment()).settings)
    assert closed(contained, {"app": "web", "pod-template-hash": "a-later-one"})


def test_replacements_can_do_no_more_than_what_they_replace() -> None:
    observation = deployment(policies=(ALLOW_WEB,))
    contained = applied(observation, *plan(observation).settings)
    reach = Policies(contained.policies, contained.namespaces).reach(PODS[0])
    assert [p.policy for p in reach.ingress.passages] == ["NetworkPolicy shop/allow-web"]


def test_cilium_does_not_select_by_a_label_that_it_keeps_out_of_identities() -> None:
    observation = deployment(CILIUM, selectors=(controller("ReplicaSet", "web", REPLICA_SET),))
    observation = observation.model_copy(
        update={"reference": observation.reference.model_copy(update={"resource": "ReplicaSet"})}
    )
    change = plan(observation)
    denial, *labels = change.settings
    assert denial.after["spec"]["endpointSelector"] == {"matchLabels": {QUARANTINE: "inc-4f1e"}}  # type: ignore[index, call-overload]
    assert len(labels) == 3
    assert any("starts later: Cilium selects by none of its labels" in words for words in change.cannot)


def test_scaling_to_zero_comes_after_the_labels_so_that_the_evidence_outlives_it() -> None:
    change = plan(deployment(), scale_to_zero=True)
    assert [s.resource for s in change.settings][-1] == "scale/Deployment/shop/web"
    assert (change.settings[-1].before, change.settings[-1].after) == (3, 0)
    assert "but those in quarantine" in change.settings[-1].words
    assert not change.settings[-1].essential
    assert plan(applied(deployment(), *change.settings), scale_to_zero=True).empty


def test_scaling_to_zero_says_that_it_ends_pods_that_stay_with_their_controller() -> None:
    change = plan(deployment(CALICO), scale_to_zero=True)
    assert "ends its pods, and the evidence in them" in change.settings[-1].words


def test_a_daemonset_can_not_be_scaled() -> None:
    selectors = (controller("DaemonSet", "web", {"app": "web"}),)
    observation = seen("DaemonSet", "web", pods=PODS, selectors=selectors)
    change = plan(observation, scale_to_zero=True)
    assert any("DaemonSet shop/web can't be scaled to zero" in words for words in change.cannot)


def test_a_statefulset_can_not_replace_a_pod_that_is_there() -> None:
    observation = seen("StatefulSet", "web", pods=PODS, selectors=(controller("StatefulSet", "web", {"app": "web"}),))
    assert any("can't replace pods shop/web-1" in words for words in plan(observation).stays)


def test_a_controller_without_pods_is_contained_for_those_to_come() -> None:
    observation = deployment(CILIUM, pods=())
    assert closed(applied(observation, *plan(observation).settings), {"app": "web"})


def test_a_controller_that_was_not_seen_can_not_be_planned() -> None:
    with pytest.raises(TargetGone, match="Deployment shop/web"):
        plan(deployment(selectors=()))


@pytest.mark.parametrize("facts", EVERY_FACTS, ids=lambda facts: facts.apis[0])
def test_a_namespace_is_denied_as_a_whole(facts: ClusterFacts) -> None:
    observation = seen("Namespace", "shop", facts=facts, pods=PODS, selectors=SELECTORS)
    change = plan(observation)
    contained = applied(observation, *change.settings)
    assert closed(contained, {"any": "labels"})
    assert not Policies(contained.policies, contained.namespaces).reach(pod(namespace="data")).ingress.closed
    assert plan(contained).empty
    assert applied(contained, *change.inverse().settings) == observation


def test_in_a_namespace_with_plain_network_policies_each_pod_leaves_the_others() -> None:
    observation = seen("Namespace", "shop", pods=PODS, policies=(ALLOW_WEB,))
    contained = applied(observation, *plan(observation).settings)
    assert all(one.labels[QUARANTINE] == "inc-4f1e" and closed(contained, one.labels) for one in contained.pods)


def test_pods_on_their_nodes_network_escalate_while_the_others_are_cut() -> None:
    pods = (*PODS, pod("proxy", host_network=True))
    change = plan(seen("Namespace", "shop", pods=pods))
    assert "pod/shop/proxy" not in [setting.resource for setting in change.settings]
    [escalation] = [words for words in change.cannot if "escalate" in words]
    assert "pod shop/proxy" in escalation
    assert "with pods shop/web-1, shop/web-2, shop/web-3 of this target on it" in escalation


def test_a_namespace_with_a_pod_of_another_incident_is_refused_by_its_name() -> None:
    with pytest.raises(TargetHeld, match=r"Pod shop/held .* inc-other"):
        plan(seen("Namespace", "shop", pods=(*PODS, pod("held", labels={QUARANTINE: "inc-other"}))))


def test_labels_that_another_target_has_set_are_held_too_where_ours_select_by_them() -> None:
    original = {"app": "web", "pod-template-hash": "5d4f"}
    taken = pod(labels={QUARANTINE: INCIDENT_ID}, held={"labels": {**original}})
    observation = deployment(pods=(taken,))
    [held] = [setting for setting in plan(observation).settings if setting.resource.startswith("pod/")]
    assert (held.before, held.after, held.shared) == (original, taken.labels, True)
    denied = plan(observation.model_copy(update={"facts": CILIUM}))
    assert not any(setting.resource.startswith("pod/") for setting in denied.settings), (
        "its policy selects by the labels of the Deployment: they are to come back with the other release"
    )
