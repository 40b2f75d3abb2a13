"""The life of a containment on a real API server, in any order: contain, crash, repeat, renew, drift, release.

What must hold whatever happens: a second apply writes nothing, what was released is as it was, somebody else's hand is
reported and not overwritten, and at no moment is the pod more open than it was before us.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.killswitch.platform import PlanStale
from activities.kubernetes.places import NETWORK_POLICIES
from activities.kubernetes.seen import pod_seen, policy_seen
from lab.cluster import Cluster
from playbooks.kubernetes.marks import HELD
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.kubernetes.reach import Policies, Reach, more_open
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.crashing import Fuse, Killed, state, versions
from tests.activities.kubernetes.making import MOMENT, POLICIES, Ground, Raw, intent, workload

LABELS = st.fixed_dictionaries({"app": st.just("web")}, optional={"tier": st.sampled_from(["front", "back"])})
SELECTORS: list[Raw] = [
    {},
    {"matchLabels": {"app": "web"}},
    {"matchLabels": {"tier": "front"}},
    {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]},
    {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
]
RULES: list[Raw] = [
    {"policyTypes": ["Ingress", "Egress"]},
    {"policyTypes": ["Ingress"], "ingress": [{}]},
    {"policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [{"podSelector": {}}]}], "egress": [{}]},
    {"policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
]
SPECS = st.builds(lambda selector, rules: {"podSelector": selector, **rules}, *map(st.sampled_from, (SELECTORS, RULES)))
POINTS = st.integers(1, 5)
PLURALS = {"pod": "pods", "object": "networkpolicies"}
ROOTS = {"pod": "/api/v1", "object": POLICIES}
# What somebody else does by hand, and takes back: to the pod, which opens nothing, and to our policy, which does.
HANDS: dict[str, tuple[Raw, Raw]] = {
    "pod": ({"metadata": {"labels": {"debug": "yes"}}}, {"metadata": {"labels": {"debug": None}}}),
    "object": ({"spec": {"ingress": [{}]}}, {"spec": {"ingress": None}}),
}


class Life(RuleBasedStateMachine):
    """`hand`: on which of our settings somebody else's hand is, by its kind of resource."""

    cluster: Cluster
    worker: ApiClient
    hand = ""
    contained = False

    @initialize(labels=LABELS, specs=st.lists(SPECS, max_size=3), resource=st.sampled_from(["Pod", "Namespace"]))
    def furnish(self, labels: dict[str, str], specs: list[Raw], resource: str) -> None:
        self.ground = Ground(self.cluster, self.cluster.namespace("life"))
        self.ground.pod(labels=labels)
        self.ground.service("web", {"app": "web"})
        for number, spec in enumerate(specs):
            self.ground.policy(f"theirs-{number}", spec)
        self.fuse = Fuse(self.worker)
        name, space = ("web-1", self.ground.name) if resource == "Pod" else (self.ground.name, "")
        target = workload(resource, name, space)
        wanted = intent(target, mechanism="network-policy")
        self.change = plan_kubernetes(opened(self.worker).observe(target, wanted), wanted)
        self.original, self.before = state(self.ground), self.reach()

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
        self.contained = False
        self.die(point, arrives, self.release_with(overwrite=False))

    @precondition(lambda self: self.contained and not self.hand)
    @rule()
    def contain_again(self) -> None:
        before = versions(self.ground)
        assert engine.apply(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert engine.renew(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert versions(self.ground) == before

    @rule()
    def renew(self) -> None:
        renewed = engine.renew(opened(self.fuse.client), self.change, MOMENT)
        assert [drift.resource for drift in renewed.drift] == self.touched()
        self.contained = not self.hand

    @precondition(lambda self: not self.hand)
    @rule()
    def somebody_edits_the_pod(self) -> None:
        self.edit("pod")

    @precondition(lambda self: self.contained and not self.hand)
    @rule()
    def somebody_edits_our_policy(self) -> None:
        self.edit("object")

    @precondition(lambda self: self.hand)
    @rule()
    def undo_by_hand(self) -> None:
        self.patch(self.hand, HANDS[self.hand][1])
        self.hand = ""

    @rule()
    def release(self) -> None:
        kept = self.theirs()
        let_go = self.release_with(overwrite=False)()
        self.contained = False
        assert [drift.resource for drift in let_go.drift][: len(self.touched())] == self.touched()
        assert self.theirs() == kept
        if not self.hand:
            assert let_go.restored
            assert state(self.ground) == self.original

    @precondition(lambda self: self.hand)
    @rule()
    def release_over_the_hand(self) -> None:
        assert self.release_with(overwrite=True)().restored
        self.hand, self.contained = "", False
        assert state(self.ground) == self.original

    @invariant()
    def is_never_more_open_than_before(self) -> None:
        if hasattr(self, "before") and self.hand != "object":
            assert not more_open(self.before, self.reach())

    def reach(self) -> Reach:
        listed = self.cluster.call("GET", self.ground.here("networkpolicies", POLICIES))["items"]
        policies = tuple(policy_seen(NETWORK_POLICIES, one) for one in listed)
        return Policies(policies, {self.ground.name: {}}).reach(pod_seen(self.ground.get("pods", "web-1")))

    def edit(self, hand: str) -> None:
        self.patch(hand, HANDS[hand][0])
        self.hand = hand

    def patch(self, hand: str, patch: Raw) -> None:
        plural, _, name = self.place(hand).partition("/")
        self.ground.edit(plural, name, patch, ROOTS[hand])

    def touched(self) -> list[str]:
        """The settings that the hand is on."""
        return [one.resource for one in self.change.settings if self.hand and one.resource.startswith(self.hand)]

    def place(self, hand: str) -> str:
        """Where that is in the state of the ground."""
        named = [one.resource for one in self.change.settings if hand and one.resource.startswith(hand)]
        return f"{PLURALS[hand]}/{named[0].rpartition('/')[2]}" if named else ""

    def theirs(self) -> Raw:
        """What the hand is on, without our mark: what we report as theirs is not held by us any more."""
        found = state(self.ground).get(self.place(self.hand), {"metadata": {}})
        annotations = found["metadata"].get("annotations") or {}
        left = {key: value for key, value in annotations.items() if HELD not in key}
        return {**found, "metadata": {**found["metadata"], "annotations": left}}

    def release_with(self, *, overwrite: bool) -> Callable[[], Any]:
        return lambda: engine.release(opened(self.fuse.client), self.change, MOMENT, overwrite=overwrite)

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
        """With somebody's hand on the pod a plan is stale, and says so; never otherwise."""
        try:
            work()
        except PlanStale:
            assert self.hand


def test_a_containment_is_sound_in_any_order_of_events(cluster: Cluster, worker: ApiClient) -> None:
    bounded = settings(
        max_examples=10,
        stateful_step_count=16,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # shrinking would run the server for minutes, and the steps are printed anyhow
    )
    here = type("LifeHere", (Life,), {"cluster": cluster, "worker": worker})
    run_state_machine_as_test(here, settings=bounded)
