"""Orders about several targets of a platform at once: one that fails as such is nobody's refusal."""

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.contracts.killswitch import ChangesApplied, ChangeTargets, ObserveTargets, TargetsObserved
from activities.killswitch.verbs import PlatformKillswitch
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload
from tests.workflows.case import Case
from tests.workflows.cast import playbook
from tests.workflows.history import scheduled
from tests.workflows.platforms import FakeCluster
from workflows import fast_platforms

# Two of them are more than the engine takes in one answer (2 MiB), one of them is not.
LONG = 1_200_000
BOTH = playbook(contain={"max_targets": 2})
GONE = ApplicationError("whoever asks for several is not known here", type="role-unknown", non_retryable=True)


class WordyCluster(FakeCluster):
    """A cluster of which there is much to tell."""

    def observe(self, target: Workload, intent: PlatformIntent) -> KubernetesObservation:
        found = super().observe(target, intent)
        assert isinstance(found, KubernetesObservation)
        return found.model_copy(update={"labels": {**found.labels, "wordy": "x" * LONG}})


class SeesOnlyOne(PlatformKillswitch):
    """Refuses to observe several targets at once."""

    @activity.defn(name="observe_targets")
    def observe_targets(self, orders: ObserveTargets) -> TargetsObserved:
        raise GONE


class ChangesOnlyOne(PlatformKillswitch):
    """Refuses to change several targets at once."""

    @activity.defn(name="apply_changes")
    def apply_changes(self, orders: ChangeTargets) -> ChangesApplied:
        raise GONE


async def both_isolated(case: Case, cluster: FakeCluster) -> list[str]:
    """Play an incident about two pods until both are cut off; returns the verbs that the incident ordered."""
    handle = await case.play(targets=(cluster.pod("web-1"), cluster.pod("web-2")), playbook=BOTH)
    await case.desk.until(lambda s: sum(t.state == "isolated" for t in s.targets) == 2)
    assert cluster.isolated
    return [verb for queue, verb in await scheduled(handle) if queue == cluster.pod("any").queue]


async def test_targets_whose_answers_do_not_fit_one_message_are_contained_one_by_one(case: Case) -> None:
    cluster = WordyCluster(case.incident_id)
    await case.serve(cluster)

    ordered = await both_isolated(case, cluster)

    assert ordered == ["observe_targets"]
    assert len(case.desk.said("target-delayed")) == 2


@pytest.mark.parametrize("verbs", [SeesOnlyOne, ChangesOnlyOne])
async def test_an_order_about_several_that_is_refused_for_good_leaves_each_to_be_tried_alone(
    case: Case, verbs: type[PlatformKillswitch]
) -> None:
    cluster = FakeCluster(case.incident_id)
    await case.serve(cluster, verbs)

    await both_isolated(case, cluster)

    assert "target-failed" not in case.desk.kinds
    assert len(case.desk.said("target-delayed")) == 2


async def test_changes_that_are_too_long_for_one_order_go_side_by_side(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_platforms, "MAX_BYTES", 100)
    cluster = FakeCluster(case.incident_id)
    await case.serve(cluster)

    ordered = await both_isolated(case, cluster)

    assert ordered == ["observe_targets", "apply_changes", "apply_changes"]
    assert case.desk.said("target-delayed") == []
