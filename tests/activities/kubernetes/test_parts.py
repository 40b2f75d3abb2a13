"""Labels, cordon and replicas on a real API server."""

import pytest

from activities.killswitch import engine
from activities.killswitch.platform import PlanStale, PlatformRefused, TargetUnknown
from activities.kubernetes.platform import KubernetesPlatform
from tests.activities.kubernetes.making import APPS, MOMENT, Ground, change, setting


@pytest.fixture
def labels(ground: Ground) -> dict[str, str]:
    found: dict[str, str] = ground.pod(labels={"app": "web", "tier": "front"})["metadata"]["labels"]
    return found


def test_labels_of_a_pod_are_set_and_removed_and_nothing_else_is_touched(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    wanted = setting(
        f"pod/{ground.name}/web-1", "labels", dict(labels), {"app": "web", "firebreak.dev/quarantine": "inc-1"}
    )
    before = ground.get("pods", "web-1")
    assert engine.apply(platform, change(wanted), MOMENT).changed == 1
    after = ground.get("pods", "web-1")
    assert after["metadata"]["labels"] == wanted.after
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])


def test_labels_come_back_exactly_on_release(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    wanted = change(setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"firebreak.dev/quarantine": "inc-1"}))
    engine.apply(platform, wanted, MOMENT)
    assert engine.release(platform, wanted, MOMENT, overwrite=False).restored
    assert ground.get("pods", "web-1")["metadata"]["labels"] == labels


def test_a_second_apply_writes_nothing(platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]) -> None:
    wanted = change(setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "b"}))
    engine.apply(platform, wanted, MOMENT)
    version = ground.get("pods", "web-1")["metadata"]["resourceVersion"]
    assert engine.apply(platform, wanted, MOMENT).already_standing
    assert ground.get("pods", "web-1")["metadata"]["resourceVersion"] == version


def test_a_status_written_in_between_does_not_hinder_the_labels(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    wanted = setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "b"})
    platform.read(wanted)
    ground.edit("pods", "web-1", {"metadata": {"annotations": {"seen": "now"}}})
    platform.write(wanted, wanted.after, MOMENT)
    assert ground.get("pods", "web-1")["metadata"]["labels"] == {"a": "b"}


def test_labels_set_by_somebody_else_in_between_are_not_overwritten(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    wanted = setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "b"})
    platform.read(wanted)
    ground.edit("pods", "web-1", {"metadata": {"labels": {"tier": "back"}}})
    with pytest.raises(PlanStale, match="somebody else has set labels"):
        platform.write(wanted, wanted.after, MOMENT)
    assert ground.get("pods", "web-1")["metadata"]["labels"] == {"app": "web", "tier": "back"}


def test_a_pod_of_the_same_name_that_came_in_between_is_not_touched(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    wanted = setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "b"})
    platform.read(wanted)
    ground.delete("pods", "web-1")
    ground.pod(labels=labels)
    with pytest.raises(PlanStale):
        platform.write(wanted, wanted.after, MOMENT)
    assert ground.get("pods", "web-1")["metadata"]["labels"] == labels


def test_a_setting_that_names_a_uid_means_that_pod_alone(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    uid = ground.get("pods", "web-1")["metadata"]["uid"]
    wanted = setting(f"pod/{ground.name}/web-1/{uid}", "labels", dict(labels), {"a": "b"})
    assert platform.read(wanted) == labels
    ground.delete("pods", "web-1")
    ground.pod(labels=labels)
    assert platform.read(wanted) is None
    with pytest.raises(PlanStale):
        engine.apply(platform, change(wanted), MOMENT)
    assert ground.get("pods", "web-1")["metadata"]["labels"] == labels


def test_a_pod_that_is_gone_reads_as_nothing_and_is_named(platform: KubernetesPlatform, ground: Ground) -> None:
    wanted = setting(f"pod/{ground.name}/web-9", "labels", {"app": "web"}, {"a": "b"})
    assert platform.read(wanted) is None
    with pytest.raises(TargetUnknown, match=f"pod/{ground.name}/web-9 is gone"):
        platform.write(wanted, wanted.after, MOMENT)
    assert "is gone" in platform.refusal(wanted, wanted.after)


def test_a_dry_run_changes_nothing_and_says_what_the_server_refuses(
    platform: KubernetesPlatform, ground: Ground, labels: dict[str, str]
) -> None:
    good = setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "b"})
    bad = setting(f"pod/{ground.name}/web-1", "labels", dict(labels), {"a": "not a label value"})
    assert platform.refusal(good, good.after) == ""
    assert "not a label value" in platform.refusal(bad, bad.after)
    assert ground.get("pods", "web-1")["metadata"]["labels"] == labels


def test_a_node_is_cordoned_and_uncordoned_as_it_was(platform: KubernetesPlatform, ground: Ground) -> None:
    name = ground.node()
    wanted = change(setting(f"node/{name}", "unschedulable", before=False, after=True))
    engine.apply(platform, wanted, MOMENT)
    assert ground.cluster.call("GET", f"/api/v1/nodes/{name}")["spec"]["unschedulable"] is True
    assert engine.release(platform, wanted, MOMENT, overwrite=False).restored
    assert "unschedulable" not in ground.cluster.call("GET", f"/api/v1/nodes/{name}")["spec"]


def test_labels_of_a_node_are_set_and_restored(platform: KubernetesPlatform, ground: Ground) -> None:
    name = ground.node()
    before = platform.read(setting(f"node/{name}", "labels", None, None))
    assert before == {}
    wanted = change(setting(f"node/{name}", "labels", {}, {"firebreak.dev/quarantine": "inc-1"}))
    engine.apply(platform, wanted, MOMENT)
    assert engine.release(platform, wanted, MOMENT, overwrite=False).restored
    assert platform.read(wanted.settings[0]) == {}


def test_a_controller_is_scaled_to_zero_and_back(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.deployment("web", {"app": "web"}, replicas=3)
    wanted = change(setting(f"scale/Deployment/{ground.name}/web", "replicas", 3, 0))
    assert engine.dry_run(platform, wanted).differing == ()
    engine.apply(platform, wanted, MOMENT)
    assert ground.get("deployments", "web", APPS)["spec"]["replicas"] == 0
    assert engine.verify(platform, wanted).differing == ()
    engine.release(platform, wanted, MOMENT, overwrite=False)
    assert ground.get("deployments", "web", APPS)["spec"]["replicas"] == 3


def test_replicas_set_by_somebody_else_stay_and_are_reported(platform: KubernetesPlatform, ground: Ground) -> None:
    ground.deployment("web", {"app": "web"}, replicas=3)
    wanted = change(setting(f"scale/Deployment/{ground.name}/web", "replicas", 3, 0))
    engine.apply(platform, wanted, MOMENT)
    ground.edit("deployments", "web", {"spec": {"replicas": 5}}, APPS)
    let_go = engine.release(platform, wanted, MOMENT, overwrite=False)
    assert not let_go.restored
    assert "replicas is 5" in let_go.drift[0].words
    assert ground.get("deployments", "web", APPS)["spec"]["replicas"] == 5


@pytest.mark.parametrize(
    ("resource", "attribute"),
    [
        ("scale/DaemonSet/shop/agent", "replicas"),
        ("node/n1", "colour"),
        ("pod/shop", "labels"),
        ("pod/shop/..", "labels"),
    ],
)
def test_what_can_not_be_set_is_refused_in_words(platform: KubernetesPlatform, resource: str, attribute: str) -> None:
    with pytest.raises(
        (PlatformRefused, TargetUnknown), match=r"replicas|nothing that can be set|names after|not a name"
    ):
        platform.read(setting(resource, attribute, None, None))
