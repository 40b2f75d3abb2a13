"""The lives of a controller, a node and a service account on a real API server, in any order of events.

What is settled in `test_life` for pods and namespaces holds for these too: repeating writes nothing, what can be taken
back is as it was, and what somebody else has set is reported and left alone.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.killswitch.platform import PlanStale
from lab.cluster import Cluster
from playbooks.change import PlatformChange
from playbooks.kubernetes.plan import plan_kubernetes
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.crashing import Fuse, Killed
from tests.activities.kubernetes.making import MOMENT, Ground, Raw, intent, workload
from tests.activities.kubernetes.test_crash_points import furnish

POINTS = st.integers(1, 6)
RBAC = "/apis/rbac.authorization.k8s.io/v1"
APPS = "/apis/apps/v1"
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"}
# By kind of target: what is planned, what somebody edits of it (plural, name, patch and its undoing), and where it is.
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, str, Raw, Raw, str] | None]] = {
    "Deployment": (
        "web",
        {"mechanism": "network-policy", "scale_to_zero": True},
        ("deployments", "web", {"spec": {"replicas": 7}}, {"spec": {"replicas": 0}}, APPS),
    ),
    "Node": ("", {}, None),
    "ServiceAccount": (
        "shop",
        {},
        ("rolebindings", "reads", {"subjects": [{"kind": "User", "name": "ana"}]}, {"subjects": None}, RBAC),
    ),
}


class Lives(RuleBasedStateMachine):
    """One target; `hand`: somebody else has set one of its settings to something that is neither."""

    cluster: Cluster
    worker: ApiClient
    resource: str
    hand = False
    contained = False

    @initialize()
    def begin(self) -> None:
        self.ground = Ground(self.cluster, self.cluster.namespace("lives"))
        furnish(self.ground)
        self.ground.account("shop")
        subjects = [{"kind": "ServiceAccount", "name": "shop", "namespace": self.ground.name}]
        self.ground.make(self.ground.here("rolebindings", RBAC), "reads", {"roleRef": ROLE, "subjects": subjects})
        name, spec, self.edit = CASES[self.resource]
        space = "" if self.resource == "Node" else self.ground.name
        target = workload(self.resource, name or self.ground.name, space)
        wanted = intent(target, **spec)
        self.fuse = Fuse(self.worker)
        self.change = plan_kubernetes(opened(self.worker).observe(target, wanted), wanted)
        self.original = self.state()
        assert self.original, "there is nothing to take back, and so nothing to test"

    @rule()
    def contain(self) -> None:
        self.tolerant(lambda: engine.apply(opened(self.fuse.client), self.change, MOMENT))
        if not self.hand:
            assert engine.verify(opened(self.worker), self.change).differing == ()
            self.contained = True

    @rule(point=POINTS, arrives=st.booleans())
    def die_containing(self, point: int, arrives: bool) -> None:
        self.die(point, arrives, lambda: engine.apply(opened(self.fuse.client), self.change, MOMENT))

    @rule(point=POINTS, arrives=st.booleans())
    def die_releasing(self, point: int, arrives: bool) -> None:
        self.die(point, arrives, lambda: self.let_go(overwrite=False))

    @precondition(lambda self: self.contained and not self.hand)
    @rule()
    def contain_again(self) -> None:
        before = self.state()
        assert engine.apply(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert engine.renew(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert self.state() == before

    @precondition(lambda self: self.contained and not self.hand and self.edit is not None)
    @rule()
    def somebody_edits_it(self) -> None:
        self.patch(undo=False)
        self.hand = True

    @precondition(lambda self: self.hand)
    @rule()
    def undo_by_hand(self) -> None:
        self.patch(undo=True)
        self.hand = False

    @rule()
    def release(self) -> None:
        let_go = self.let_go(overwrite=False)
        self.contained = False
        assert let_go.restored == (not self.hand)
        if not self.hand:
            assert self.state() == self.original

    @precondition(lambda self: self.hand)
    @rule()
    def release_over_the_hand(self) -> None:
        assert self.let_go(overwrite=True).restored
        self.hand = self.contained = False
        assert self.state() == self.original

    def state(self) -> dict[tuple[str, str], Any]:
        """Everything that can be taken back, as it is now."""
        platform = opened(self.worker)
        return {one.place: platform.read(one) for one in self.reversible(self.change)}

    @staticmethod
    def reversible(change: PlatformChange) -> list[Any]:
        return [one for one in change.settings if one.reversible]

    def patch(self, *, undo: bool) -> None:
        assert self.edit is not None
        plural, name, change, back, root = self.edit
        self.ground.edit(plural, name, back if undo else change, root)

    def let_go(self, *, overwrite: bool) -> Any:
        return engine.release(opened(self.fuse.client), self.change, MOMENT, overwrite=overwrite)

    def die(self, point: int, arrives: bool, work: Callable[[], object]) -> None:
        self.contained = False
        self.fuse.light(point, arrives=arrives)
        try:
            self.tolerant(work)
        except Killed:
            pass
        finally:
            self.fuse.put_out()

    def tolerant(self, work: Callable[[], object]) -> None:
        """With somebody's hand on it a plan is stale, and says so; never otherwise."""
        try:
            work()
        except PlanStale:
            assert self.hand


@pytest.mark.parametrize("resource", CASES)
def test_a_containment_of_its_kind_is_sound_in_any_order_of_events(
    resource: str, cluster: Cluster, worker: ApiClient
) -> None:
    bounded = settings(
        max_examples=5,
        stateful_step_count=12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # shrinking would run the server for minutes, and the steps are printed anyhow
    )
    here = type("LivesHere", (Lives,), {"cluster": cluster, "worker": worker, "resource": resource})
    run_state_machine_as_test(here, settings=bounded)
