"""In an Istio mesh the workload refuses everybody and its peers refuse its principal, beside the CNI's policy."""

from typing import Any

from playbooks.kubernetes.observation import KubernetesObservation
from tests.playbooks.kubernetes.cluster import CILIUM, applied, controller, plan, pod, seen

ISTIO = CILIUM.model_copy(
    update={"apis": (*CILIUM.apis, "security.istio.io/v1/authorizationpolicies"), "mesh": ("istio",)}
)


def spec_of(setting: Any) -> Any:
    return setting.after["spec"]


def mesh_pod(**more: Any) -> KubernetesObservation:
    return seen(**{"facts": ISTIO, "pods": (pod(service_account="web"),), **more})


def test_the_cni_policy_and_the_labels_come_first_and_alone_are_essential() -> None:
    change = plan(mesh_pod())
    assert change.mechanism == "cilium"
    kinds = [setting.resource.split("/")[3] for setting in change.settings if setting.attribute == "object"]
    assert kinds == ["ciliumnetworkpolicies", "authorizationpolicies", "authorizationpolicies"]
    assert [setting.essential for setting in change.settings] == [True, True, False, False]


def test_the_workload_denies_every_request_and_its_peers_its_principal() -> None:
    *_, inbound, peers = plan(mesh_pod()).settings
    selector = {"matchLabels": {"firebreak.dev/quarantine": "inc-4f1e"}}
    assert spec_of(inbound) == {"action": "DENY", "selector": selector, "rules": [{}]}
    assert peers.resource.split("/")[4] == "istio-system"
    assert spec_of(peers) == {
        "action": "DENY",
        "rules": [{"from": [{"source": {"principals": ["*/ns/shop/sa/web"]}}]}],
    }


def test_a_principal_that_others_share_is_left_alone_and_named() -> None:
    change = plan(mesh_pod(pods=(pod(),)))
    assert not any("istio-system" in setting.resource for setting in change.settings)
    assert any("peers go on accepting shop/default" in words for words in change.cannot)


def test_a_namespace_is_denied_by_its_name() -> None:
    *_, inbound, peers = plan(seen("Namespace", "shop", facts=ISTIO)).settings
    assert "selector" not in spec_of(inbound)
    assert spec_of(peers)["rules"] == [{"from": [{"source": {"namespaces": ["shop"]}}]}]


def test_what_istio_can_not_select_is_named() -> None:
    expression = [{"key": "app", "operator": "In", "values": ["web", "shop"]}]
    owner = controller("Deployment", "web", {}).model_copy(update={"selector": {"matchExpressions": expression}})
    change = plan(seen("Deployment", "web", facts=ISTIO, selectors=(owner,)))
    assert any("Istio selects by matchLabels alone" in words for words in change.cannot)


def test_without_a_control_plane_nothing_is_added() -> None:
    change = plan(mesh_pod(facts=ISTIO.model_copy(update={"mesh": ()})))
    assert not any("authorizationpolicies" in setting.resource for setting in change.settings)


def test_a_second_plan_in_a_mesh_is_empty() -> None:
    assert plan(applied(mesh_pod(), *plan(mesh_pod()).settings)).empty
