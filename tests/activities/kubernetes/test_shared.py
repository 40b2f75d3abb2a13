"""Two containments that share an effect: whoever lets go first takes nothing away from the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from kubernetes.client import ApiClient

from activities.contracts.killswitch import LetGo
from activities.killswitch import engine
from activities.killswitch.platform import Platform
from activities.kubernetes.places import NETWORK_POLICIES
from activities.kubernetes.platform import open_platform
from activities.kubernetes.seen import pod_seen, policy_seen
from playbooks.change import PlatformChange
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.kubernetes.reach import Policies
from playbooks.platform_intent import TargetHeld
from tests.activities.kubernetes.crashing import Fuse, Killed, state, versions
from tests.activities.kubernetes.making import CLUSTER, MOMENT, POLICIES, RBAC, Ground, Raw, intent, workload
from tests.activities.kubernetes.test_crash_points import furnish
from tests.activities.kubernetes.test_lives import ROLE

POD, DEPLOYMENT, NAMESPACE, NODE, BESIDE, ACCOUNT = "Pod", "Deployment", "Namespace", "Node", "beside", "ServiceAccount"
PLAIN: dict[str, Any] = {"mechanism": "network-policy"}
CORDON: dict[str, Any] = {**PLAIN, "cordon": True}


class Hold(NamedTuple):
    """One containment."""

    platform: Platform
    change: PlatformChange

    def apply(self) -> None:
        engine.apply(self.platform, self.change, MOMENT)

    def stands(self) -> bool:
        return engine.verify(self.platform, self.change).differing == ()

    def release(self, *, overwrite: bool = False) -> LetGo:
        return engine.release(self.platform, self.change, MOMENT, overwrite=overwrite)


class Scene:
    """A Deployment's pod and another one beside it, on one node."""

    def __init__(self, ground: Ground, client: ApiClient) -> None:
        self.ground, self.client = ground, client
        furnish(ground)
        ground.pod("beside", {"app": "beside"}, nodeName=ground.name)
        self.original = self.state()

    def plan(self, who: str, incident: str, spec: dict[str, Any]) -> Hold:
        name = {POD: "web-5d8f-a", DEPLOYMENT: "web", BESIDE: "beside", ACCOUNT: "shop"}.get(who, self.ground.name)
        space = "" if who in (NAMESPACE, NODE) else self.ground.name
        target = workload(POD if who == BESIDE else who, name, space)
        platform = open_platform({CLUSTER: self.client})(target, incident)
        wanted = intent(target, incident, **spec)
        seen = platform.observe(target, wanted)
        assert isinstance(seen, KubernetesObservation)
        return Hold(platform, plan_kubernetes(seen, wanted))

    def node(self) -> Raw:
        return self.ground.cluster.call("GET", f"/api/v1/nodes/{self.ground.name}")

    def state(self) -> dict[str, Any]:
        node = self.node()
        cordon = {key: value for key, value in node["spec"].items() if key == "unschedulable"}
        return {**state(self.ground), "node": (node["metadata"].get("annotations"), cordon)}

    def cordoned(self) -> bool:
        return bool(self.node()["spec"].get("unschedulable", False))

    def cut(self) -> bool:
        """Whether the Deployment's pod is cut off by what stands."""
        listed = self.ground.cluster.call("GET", self.ground.here("networkpolicies", POLICIES))["items"]
        policies = tuple(policy_seen(NETWORK_POLICIES, one) for one in listed)
        reach = Policies(policies, {self.ground.name: {}}).reach(pod_seen(self.ground.get("pods", "web-5d8f-a")))
        return not reach.ingress.passages and not reach.egress.passages


@pytest.fixture
def scene(ground: Ground, worker: ApiClient) -> Scene:
    return Scene(ground, worker)


Pair = tuple[tuple[str, str, dict[str, Any]], tuple[str, str, dict[str, Any]], Callable[[Scene], bool]]
PAIRS: dict[str, Pair] = {
    "a pod and its deployment": ((POD, "inc-1", PLAIN), (DEPLOYMENT, "inc-1", PLAIN), Scene.cut),
    "a pod and its namespace": ((POD, "inc-1", PLAIN), (NAMESPACE, "inc-1", PLAIN), Scene.cut),
    "a node in two incidents": ((NODE, "inc-1", {}), (NODE, "inc-2", {}), Scene.cordoned),
    "two pods on one node": ((POD, "inc-1", CORDON), (BESIDE, "inc-1", CORDON), Scene.cordoned),
    "two pods of two incidents on one node": ((POD, "inc-1", CORDON), (BESIDE, "inc-2", CORDON), Scene.cordoned),
    "a node and a pod on it": ((NODE, "inc-1", {}), (BESIDE, "inc-2", CORDON), Scene.cordoned),
}


@pytest.mark.parametrize(("first_in", "at_once"), [(0, False), (1, False), (0, True)])
@pytest.mark.parametrize("first_out", [0, 1])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_what_two_share_stands_until_both_have_let_go(
    pair: Pair, first_in: int, first_out: int, at_once: bool, scene: Scene
) -> None:
    *wanted, effect = pair
    wanted = wanted[::-1] if first_in else wanted
    one = scene.plan(*wanted[0])
    if not at_once:
        one.apply()
    two = scene.plan(*wanted[1])
    one.apply()
    two.apply()
    assert one.stands()
    assert two.stands()
    assert effect(scene)

    gone, left = (one, two)[:: -1 if first_out else 1]
    let_go = gone.release()
    assert let_go.restored
    assert any("holds it too" in words for words in let_go.kept)
    assert effect(scene)
    assert left.stands()
    assert gone.release().kept == let_go.kept, "asked again it says the same"
    assert left.release().kept == ()
    assert scene.state() == scene.original


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_two_who_take_it_in_the_same_moment_both_hold_it(pair: Pair, scene: Scene) -> None:
    one, two, effect = scene.plan(*pair[0]), scene.plan(*pair[1]), pair[2]
    shared = [setting for setting in two.change.settings if setting.shared]
    for setting in shared:
        assert two.platform.read(setting) == setting.before
    one.apply()
    for setting in shared:
        two.platform.write(setting, setting.after, MOMENT)
    two.apply()
    one.release()
    assert effect(scene)
    two.release()
    assert scene.state() == scene.original


def test_a_service_account_is_one_incidents_and_free_again_once_it_let_go(scene: Scene) -> None:
    scene.ground.account("shop")
    subjects = [{"kind": "ServiceAccount", "name": "shop", "namespace": scene.ground.name}]
    scene.ground.make(scene.ground.here("rolebindings", RBAC), "reads", {"roleRef": ROLE, "subjects": subjects})
    one = scene.plan(ACCOUNT, "inc-1", {})
    one.apply()
    assert scene.plan(ACCOUNT, "inc-1", {}).change.empty
    with pytest.raises(TargetHeld, match="in quarantine for incident inc-1"):
        scene.plan(ACCOUNT, "inc-2", {})
    assert one.release().restored
    assert scene.ground.get("rolebindings", "reads", RBAC)["subjects"] == subjects
    two = scene.plan(ACCOUNT, "inc-2", {})
    two.apply()
    assert two.stands()


def test_a_second_plan_of_what_is_shared_is_empty(scene: Scene) -> None:
    for who in (POD, DEPLOYMENT):
        scene.plan(who, "inc-1", CORDON).apply()
    assert scene.plan(POD, "inc-1", CORDON).change.empty
    assert scene.plan(DEPLOYMENT, "inc-1", CORDON).change.empty


def test_a_node_uncordoned_by_hand_is_cordoned_again_and_leaves_no_mark(scene: Scene) -> None:
    one, two = scene.plan(NODE, "inc-1", {}), scene.plan(NODE, "inc-2", {})
    one.apply()
    two.apply()
    path = f"/api/v1/nodes/{scene.ground.name}"
    scene.ground.cluster.call("PATCH", path, {"spec": {"unschedulable": None}}, "application/merge-patch+json")
    engine.renew(two.platform, two.change, MOMENT)
    assert scene.cordoned()
    scene.ground.cluster.call("PATCH", path, {"spec": {"unschedulable": None}}, "application/merge-patch+json")
    one.release()
    two.release()
    assert scene.state() == scene.original


def test_a_mark_that_nobody_of_us_wrote_keeps_nothing_from_being_cut(scene: Scene) -> None:
    forged = {"metadata": {"annotations": {"labels.held.firebreak.dev/firebreak-inc-9-00000000": "{not json"}}}
    scene.ground.edit("pods", "web-5d8f-a", forged)
    one = scene.plan(POD, "inc-1", PLAIN)
    one.apply()
    assert scene.cut()


@pytest.mark.parametrize("arrives", [False, True])
def test_wherever_a_worker_dies_the_other_stays_cut(arrives: bool, ground: Ground, worker: ApiClient) -> None:
    fuse = Fuse(worker)
    scene = Scene(ground, fuse.client)
    point, died = 0, True
    while died:
        point, died = point + 1, False
        holds = []
        for who in (POD, DEPLOYMENT):
            holds.append(scene.plan(who, "inc-1", CORDON))
            holds[-1].apply()
        for hold, left in ((holds[0], 1), (holds[1], 0)):
            fuse.light(point, arrives=arrives)
            try:
                hold.release()
            except Killed:
                died = True
            fuse.put_out()
            assert hold.release().restored
            assert not left or (scene.cut() and scene.cordoned())
        assert scene.state() == scene.original


def test_what_was_never_set_is_let_go_without_a_write(scene: Scene) -> None:
    one = scene.plan(POD, "inc-1", CORDON)
    before = versions(scene.ground), scene.node()["metadata"]["resourceVersion"]
    let_go = one.release()
    assert (let_go.restored, let_go.was_standing) == (True, False)
    assert (versions(scene.ground), scene.node()["metadata"]["resourceVersion"]) == before
