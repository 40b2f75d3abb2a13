"""What is not asked for twice: how long it serves, whom, and by how few requests an incident is contained."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Barrier

import pytest
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.killswitch.platform import PlanStale, PlatformUnreachable
from activities.killswitch.verbs import OpenPlatform
from activities.kubernetes.calls import Calls
from activities.kubernetes.places import NETWORK_POLICIES, PODS, Place
from activities.kubernetes.platform import open_platform
from activities.kubernetes.recent import RECENT_SECONDS, Recent, Snapshot
from activities.kubernetes.sharing import FRESH_SECONDS, SharedLists
from lab.cluster import Cluster
from playbooks.change import PlatformChange
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.plan import plan_kubernetes
from segmentation.workloads import Workload
from tests.activities.kubernetes.crashing import Fuse
from tests.activities.kubernetes.fronting import Busy, fronted
from tests.activities.kubernetes.making import (
    CLUSTER,
    INCIDENT,
    MOMENT,
    Ground,
    change,
    deny_all,
    intent,
    policy_object,
    setting,
    workload,
)

TEN = 10


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def names(lists: SharedLists, ground: Ground) -> list[str]:
    return [one["metadata"]["name"] for one in lists.ask(Place(NETWORK_POLICIES, ground.name)).result()]


def test_a_list_serves_for_a_moment_and_is_then_asked_for_anew(
    worker: ApiClient, ground: Ground, pool: Executor
) -> None:
    now = [0.0]
    lists = SharedLists(Calls(worker, CLUSTER), pool, clock=lambda: now[0])
    assert names(lists, ground) == []
    ground.policy("later", {"podSelector": {}})
    now[0] = FRESH_SECONDS * 0.9
    assert names(lists, ground) == []
    now[0] = FRESH_SECONDS
    assert names(lists, ground) == ["later"]


def test_a_failure_is_not_remembered(worker: ApiClient, ground: Ground, pool: Executor) -> None:
    with fronted(worker, Busy(refusals=1, code=500)) as client:
        lists = SharedLists(Calls(client, CLUSTER), pool)
        with pytest.raises(PlatformUnreachable):
            names(lists, ground)
        assert names(lists, ground) == []


def test_what_we_wrote_is_seen_at_once(worker: ApiClient, ground: Ground) -> None:
    ground.pod()
    target = workload("Pod", "web-1", ground.name)
    platform = open_platform({CLUSTER: worker})(target, INCIDENT)
    platform.observe(target, intent(target))
    engine.apply(platform, change(setting(policy_object(ground), "object", None, deny_all())), MOMENT)
    seen = platform.observe(target, intent(target))
    assert isinstance(seen, KubernetesObservation)
    assert "firebreak-inc-1" in {policy.name for policy in seen.policies if policy.namespace == ground.name}


def test_ten_targets_of_one_incident_cost_few_more_requests_than_one(
    cluster: Cluster, worker: ApiClient, ground: Ground
) -> None:
    for number in range(TEN):
        ground.pod(f"web-{number}", {"app": "web"})
    fuse = Fuse(worker)
    opening = open_platform({CLUSTER: fuse.client})
    together = Barrier(TEN)

    def observe(number: int) -> list[str]:
        target = workload("Pod", f"web-{number}", ground.name)
        together.wait()
        seen = opening(target, INCIDENT).observe(target, intent(target))
        assert isinstance(seen, KubernetesObservation)
        return [pod.name for pod in seen.pods]

    target = workload("Pod", "web-0", ground.name)
    opening(target, INCIDENT).observe(target, intent(target))
    first, fuse.requests = fuse.requests, 0
    with ThreadPoolExecutor(TEN) as pool:
        assert sorted(pool.map(observe, range(TEN))) == [[f"web-{number}"] for number in range(TEN)]
    # A list may be begun a second time on a machine so busy that ten of them take longer than an answer serves.
    assert first < 30
    assert fuse.requests < 2 * first + TEN


def planned(opening: OpenPlatform, ground: Ground) -> tuple[Workload, PlatformChange]:
    target = workload("Pod", "web-1", ground.name)
    wanted = intent(target, mechanism="network-policy")
    seen = opening(target, INCIDENT).observe(target, wanted)
    assert isinstance(seen, KubernetesObservation)
    return target, plan_kubernetes(seen, wanted)


@pytest.fixture
def allowed(ground: Ground) -> Ground:
    ground.pod(labels={"app": "web"})
    ground.policy("allow", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]})
    return ground


def test_what_was_just_observed_is_not_read_again_to_be_written_and_is_to_be_proven(
    worker: ApiClient, allowed: Ground
) -> None:
    fuse = Fuse(worker)
    opening = open_platform({CLUSTER: fuse.client})
    target, wanted = planned(opening, allowed)
    fuse.requests = 0
    assert engine.apply(opening(target, INCIDENT), wanted, MOMENT).changed == 2
    assert fuse.requests == 2
    assert engine.verify(opening(target, INCIDENT), wanted).standing == 2
    assert fuse.requests == 4


def test_what_somebody_sets_after_it_was_observed_is_found_out(worker: ApiClient, allowed: Ground) -> None:
    opening = open_platform({CLUSTER: worker})
    target, wanted = planned(opening, allowed)
    allowed.edit("pods", "web-1", {"metadata": {"labels": {"app": "other"}}})
    with pytest.raises(PlanStale):
        engine.apply(opening(target, INCIDENT), wanted, MOMENT)
    assert allowed.get("pods", "web-1")["metadata"]["labels"] == {"app": "other"}


def test_an_observation_serves_its_own_target_once_and_not_for_long() -> None:
    now = [0.0]
    recent, mine, place = Recent(clock=lambda: now[0]), ("inc-1", "web"), Place(PODS, "shop", "web-1")
    recent.note(mine, Snapshot({place: {"kind": "Pod"}}))
    assert not recent.take(("inc-1", "db")).knows(place)
    assert recent.take(mine).knows(place)
    assert not recent.take(mine).knows(place)
    recent.note(mine, Snapshot({place: {"kind": "Pod"}}))
    now[0] = RECENT_SECONDS
    assert not recent.take(mine).knows(place)
