"""What is done beside the network never stops the cut; names and labels are ours alone."""

import pytest

from playbooks.kubernetes.marks import NameUnfit, object_name
from playbooks.kubernetes.observation import NodeSeen
from tests.playbooks.kubernetes.cluster import applied, controller, plan, pod, seen

DEPLOYMENT = controller("Deployment", "web", {"app": "web"}, replicas=2)
REPLICA_SET = controller("ReplicaSet", "web-5d4f", {"app": "web"}, replicas=2, owner="Deployment/web")


def test_the_node_of_a_pod_is_cordoned_as_a_precaution() -> None:
    change = plan(seen(), cordon=True)
    assert change.settings[-1].resource == "node/n1"
    assert not change.settings[-1].essential
    assert plan(applied(seen(), *change.settings), cordon=True).empty


def test_a_node_that_is_cordoned_already_is_left_alone() -> None:
    nodes = (NodeSeen(name="n1", unschedulable=True),)
    assert not any(s.resource.startswith("node/") for s in plan(seen(nodes=nodes), cordon=True).settings)


def test_a_node_that_was_not_seen_is_named() -> None:
    assert any("node n1 is not cordoned" in words for words in plan(seen(nodes=()), cordon=True).cannot)


def test_a_replicaset_is_scaled_by_the_deployment_that_would_scale_it_back() -> None:
    owned = pod(controller="ReplicaSet/web-5d4f")
    change = plan(seen(pods=(owned,), selectors=(DEPLOYMENT, REPLICA_SET)), scale_to_zero=True)
    assert change.settings[-1].resource == "scale/Deployment/shop/web"


def test_a_controller_at_zero_is_left_alone_and_said_to_be_in_other_hands() -> None:
    stopped = controller("Deployment", "web", {"app": "web"}, replicas=0)
    change = plan(seen(pods=(pod(controller="Deployment/web"),), selectors=(stopped,)), scale_to_zero=True)
    assert not any(setting.resource.startswith("scale/") for setting in change.settings)
    assert any("Deployment shop/web is at zero already" in words for words in change.cannot)


def test_a_controller_that_was_not_seen_is_named() -> None:
    change = plan(seen(pods=(pod(controller="ReplicaSet/gone"),)), scale_to_zero=True)
    assert any("ReplicaSet shop/gone is not scaled to zero" in words for words in change.cannot)


def test_precautions_come_after_the_cut() -> None:
    owned = pod(controller="ReplicaSet/web-5d4f")
    observation = seen(pods=(owned,), selectors=(DEPLOYMENT, REPLICA_SET))
    change = plan(observation, cordon=True, scale_to_zero=True)
    assert [setting.essential for setting in change.settings] == [True, True, False, False]


def test_every_setting_says_what_the_platform_must_allow() -> None:
    change = plan(seen(), cordon=True)
    assert set(change.permissions) == {
        *(f"{verb} networkpolicies.networking.k8s.io" for verb in ("get", "create", "patch", "delete")),
        *(f"{verb} {plural}" for verb in ("get", "patch") for plural in ("pods", "nodes")),
    }


def test_names_derive_from_incident_and_target() -> None:
    assert object_name("INC-1", "web").startswith("firebreak-inc-1-")
    assert object_name("inc-1", "web") == object_name("inc-1", "web")
    assert object_name("inc-1", "web") != object_name("inc-1", "db")


@pytest.mark.parametrize("incident_id", ["inc_1", "i" * 64, "inc.1"])
def test_an_incident_that_no_object_can_be_called_after_is_refused(incident_id: str) -> None:
    with pytest.raises(NameUnfit):
        object_name(incident_id, "web")
