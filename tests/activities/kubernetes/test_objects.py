"""Our own policies on a real API server: made, read back, taken away, and never at another's expense."""

import pytest

from activities.killswitch import engine
from activities.killswitch.platform import PlanStale, PlatformRefused
from activities.kubernetes.platform import KubernetesPlatform
from playbooks.change import PlatformChange
from tests.activities.kubernetes.making import (
    MOMENT,
    POLICIES,
    Ground,
    change,
    deny_all,
    policy_object,
    setting,
)

NAME = "firebreak-inc-1"


@pytest.fixture
def denial(ground: Ground) -> PlatformChange:
    return change(setting(policy_object(ground), "object", None, deny_all()))


def test_our_policy_is_made_by_our_field_manager_and_reads_back_as_planned(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    assert engine.apply(platform, denial, MOMENT).changed == 1
    found = ground.get("networkpolicies", NAME, POLICIES)
    assert [(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]] == [
        ("firebreak", "Apply")
    ]
    assert engine.verify(platform, denial).standing == 1


def test_a_second_apply_leaves_the_policy_as_it_is(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    engine.apply(platform, denial, MOMENT)
    version = ground.get("networkpolicies", NAME, POLICIES)["metadata"]["resourceVersion"]
    platform.write(denial.settings[0], denial.settings[0].after, MOMENT)
    assert engine.apply(platform, denial, MOMENT).already_standing
    assert ground.get("networkpolicies", NAME, POLICIES)["metadata"]["resourceVersion"] == version


def test_release_deletes_our_policy_and_no_other(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    ground.policy("theirs", {"podSelector": {}})
    engine.apply(platform, denial, MOMENT)
    assert engine.release(platform, denial, MOMENT, overwrite=False).restored
    assert ground.names("networkpolicies", POLICIES) == {"theirs"}
    assert engine.release(platform, denial, MOMENT, overwrite=False).restored


def test_a_policy_of_ours_edited_by_hand_is_drift_and_is_left_to_people(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    engine.apply(platform, denial, MOMENT)
    ground.edit("networkpolicies", NAME, {"spec": {"ingress": [{}]}}, POLICIES)
    assert "expected" in engine.verify(platform, denial).differing[0]
    assert engine.renew(platform, denial, MOMENT).drift
    assert not engine.release(platform, denial, MOMENT, overwrite=False).restored
    assert ground.names("networkpolicies", POLICIES) == {NAME}
    assert engine.release(platform, denial, MOMENT, overwrite=True).restored
    assert ground.names("networkpolicies", POLICIES) == set()


def test_a_policy_edited_between_reading_and_deleting_is_not_deleted(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    engine.apply(platform, denial, MOMENT)
    platform.read(denial.settings[0])
    ground.edit("networkpolicies", NAME, {"spec": {"ingress": [{}]}}, POLICIES)
    with pytest.raises(PlanStale):
        platform.write(denial.settings[0], None, MOMENT)
    assert ground.names("networkpolicies", POLICIES) == {NAME}


def test_a_label_put_on_our_policy_in_between_does_not_hinder_its_deletion(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    engine.apply(platform, denial, MOMENT)
    platform.read(denial.settings[0])
    ground.edit("networkpolicies", NAME, {"metadata": {"labels": {"team": "shop"}}}, POLICIES)
    platform.write(denial.settings[0], None, MOMENT)
    assert ground.names("networkpolicies", POLICIES) == set()


def test_an_object_without_our_label_is_neither_overwritten_nor_deleted(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    ground.policy(NAME, {"podSelector": {"matchLabels": {"app": "web"}}})
    with pytest.raises(PlanStale):
        engine.apply(platform, denial, MOMENT)
    for value in (deny_all(), None):
        with pytest.raises(PlatformRefused, match="not ours"):
            platform.write(denial.settings[0], value, MOMENT)
    assert ground.get("networkpolicies", NAME, POLICIES)["spec"]["podSelector"] == {"matchLabels": {"app": "web"}}


def test_a_field_that_another_manager_holds_is_a_conflict_that_names_it(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    engine.apply(platform, denial, MOMENT)
    ground.edit("networkpolicies", NAME, {"spec": {"podSelector": {"matchLabels": {"app": "web"}}}}, POLICIES)
    platform.read(denial.settings[0])
    with pytest.raises(PlatformRefused, match=r'conflict with "hand".*podSelector'):
        platform.write(denial.settings[0], deny_all(selector={"matchLabels": {"app": "db"}}), MOMENT)


def test_a_dry_run_says_what_the_server_would_refuse_and_makes_nothing(
    platform: KubernetesPlatform, ground: Ground, denial: PlatformChange
) -> None:
    assert engine.dry_run(platform, denial).differing == ()
    wrong = deny_all(selector={"matchLabels": {"app": "no label value"}})
    assert "no label value" in platform.refusal(denial.settings[0], wrong)
    assert ground.names("networkpolicies", POLICIES) == set()


def test_only_policies_can_be_written(platform: KubernetesPlatform) -> None:
    role = setting("object/rbac.authorization.k8s.io/v1/clusterroles/-/firebreak-inc-1", "object", None, deny_all())
    with pytest.raises(PlatformRefused, match="no kind of policy"):
        platform.write(role, role.after, MOMENT)


def test_an_api_that_the_cluster_does_not_serve_is_named(platform: KubernetesPlatform, ground: Ground) -> None:
    gone = setting(f"object/cilium.io/v9/ciliumnetworkpolicies/{ground.name}/x", "object", None, deny_all())
    assert "does not serve /apis/cilium.io/v9/ciliumnetworkpolicies" in platform.refusal(gone, gone.after)
