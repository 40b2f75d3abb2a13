"""The life of a pod's containment on a real API server, in any order: contain, crash, repeat, renew, drift, release.

What must hold whatever happens: a second apply writes nothing, what was released is as it was, somebody else's hand is
reported and not overwritten, and at no moment is the pod more open than it was before us.
"""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from kubernetes.client import ApiClient

from activities.killswitch import engine
from activities.kubernetes.places import NETWORK_POLICIES
from activities.kubernetes.seen import pod_seen, policy_seen
from lab.cluster import Cluster
from playbooks.kubernetes.marks import HELD
from playbooks.kubernetes.reach import Policies, Reach, more_open
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.containment import Containment, live
from tests.activities.kubernetes.crashing import state, versions
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
PLURALS = {"pod": "pods", "object": "networkpolicies"}
ROOTS = {"pod": "/api/v1", "object": POLICIES}
# What somebody else does by hand, and takes back: to the pod, which opens nothing, and to our policy, which does.
HANDS: dict[str, tuple[Raw, Raw]] = {
    "pod": ({"metadata": {"labels": {"debug": "yes"}}}, {"metadata": {"labels": {"debug": None}}}),
    "object": ({"spec": {"ingress": [{}]}}, {"spec": {"ingress": None}}),
}


class Life(Containment):
    """A pod, or all of its namespace; `hand` is on one of our settings by its kind of resource."""

    @initialize(labels=LABELS, specs=st.lists(SPECS, max_size=3), resource=st.sampled_from(["Pod", "Namespace"]))
    def furnish(self, labels: dict[str, str], specs: list[Raw], resource: str) -> None:
        self.ground = Ground(self.cluster, self.cluster.namespace("life"))
        self.ground.pod(labels=labels)
        self.ground.service("web", {"app": "web"})
        for number, spec in enumerate(specs):
            self.ground.policy(f"theirs-{number}", spec)
        name, space = ("web-1", self.ground.name) if resource == "Pod" else (self.ground.name, "")
        target = workload(resource, name, space)
        self.plan(target, intent(target, mechanism="network-policy"))
        self.before = self.reach()

    @rule()
    def renew(self) -> None:
        renewed = engine.renew(opened(self.fuse.client), self.change, MOMENT)
        assert [drift.resource for drift in renewed.drift] == self.touched()
        self.contained = not self.hand

    @precondition(lambda self: not self.hand)
    @rule()
    def somebody_edits_the_pod(self) -> None:
        self.meddle("pod")

    @precondition(lambda self: self.contained and not self.hand)
    @rule()
    def somebody_edits_our_policy(self) -> None:
        self.meddle("object")

    @rule()
    def release(self) -> None:
        kept = self.theirs()
        let_go = self.let_go(overwrite=False)
        self.contained = False
        assert [drift.resource for drift in let_go.drift][: len(self.touched())] == self.touched()
        assert self.theirs() == kept
        if not self.hand:
            assert let_go.restored
            assert self.look() == self.original

    @invariant()
    def is_never_more_open_than_before(self) -> None:
        if hasattr(self, "before") and self.hand != "object":
            assert not more_open(self.before, self.reach())

    def reach(self) -> Reach:
        listed = self.cluster.call("GET", self.ground.here("networkpolicies", POLICIES))["items"]
        policies = tuple(policy_seen(NETWORK_POLICIES, one) for one in listed)
        return Policies(policies, {self.ground.name: {}}).reach(pod_seen(self.ground.get("pods", "web-1")))

    def look(self) -> dict[str, Raw]:
        return state(self.ground)

    def marks(self) -> dict[str, str]:
        return versions(self.ground)

    def edit(self, hand: str, *, undo: bool) -> None:
        plural, _, name = self.place(hand).partition("/")
        done, undone = HANDS[hand]
        self.ground.edit(plural, name, undone if undo else done, ROOTS[hand])

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


def test_a_containment_is_sound_in_any_order_of_events(cluster: Cluster, worker: ApiClient) -> None:
    live(Life, examples=10, steps=16, cluster=cluster, worker=worker)
