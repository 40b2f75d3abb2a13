"""The mechanism is the strongest that the cluster has, or the one that is asked for; its choice is explained."""

import pytest

from playbooks.kubernetes.errors import MechanismMissing
from playbooks.kubernetes.mechanisms import available, choose
from playbooks.kubernetes.observation import ClusterFacts
from tests.playbooks.kubernetes.cluster import ADMIN, CALICO, CILIUM, OLD_ADMIN, PLAIN


@pytest.mark.parametrize(
    ("facts", "mechanism", "plural"),
    [
        (ADMIN, "admin-network-policy", "clusternetworkpolicies"),
        (OLD_ADMIN, "admin-network-policy", "adminnetworkpolicies"),
        (CILIUM, "cilium", "ciliumnetworkpolicies"),
        (CALICO, "calico", "globalnetworkpolicies"),
        (PLAIN, "network-policy", "networkpolicies"),
    ],
)
def test_the_strongest_mechanism_is_chosen(facts: ClusterFacts, mechanism: str, plural: str) -> None:
    choice = choose(facts, "auto")
    assert (choice.mechanism, choice.api.plural) == (mechanism, plural)
    assert choice.why


def test_the_first_form_of_admin_network_policies_is_passed_over() -> None:
    first = OLD_ADMIN.model_copy(update={"features": ()})
    assert choose(first, "auto").mechanism == "network-policy"
    with pytest.raises(MechanismMissing):
        choose(first, "admin-network-policy")


def test_definitions_without_a_running_cni_are_no_mechanism() -> None:
    left_behind = CILIUM.model_copy(update={"cni": ("flannel",)})
    assert choose(left_behind, "auto").mechanism == "network-policy"


def test_the_newest_version_that_is_served_is_used() -> None:
    both = ClusterFacts(
        version="v1.36.0",
        apis=tuple(f"policy.networking.k8s.io/{version}/clusternetworkpolicies" for version in ("v1alpha2", "v1beta1")),
    )
    assert choose(both, "auto").api.version == "v1beta1"


def test_a_mechanism_that_is_asked_for_is_used_and_a_stronger_one_is_named() -> None:
    choice = choose(CILIUM, "network-policy")
    assert choice.mechanism == "network-policy"
    assert "cilium would be stronger" in choice.why


def test_a_mechanism_that_is_missing_is_refused_with_what_there_is() -> None:
    with pytest.raises(MechanismMissing) as refusal:
        choose(CILIUM, "calico")
    assert "it has cilium, network-policy" in refusal.value.summary
    assert "CNI: cilium" in refusal.value.summary


def test_plain_network_policy_is_always_there_and_always_last() -> None:
    assert [c.mechanism for c in available(ClusterFacts(version="v1.28", apis=()))] == ["network-policy"]
    assert available(ADMIN)[-1].mechanism == "network-policy"
