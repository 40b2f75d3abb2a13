"""What may happen to a target of any kind, in any order: contained, repeated, killed, meddled with, taken back.

Owns what holds for all of them: repeating writes nothing, a stale plan is refused for somebody's hand alone, and what
is taken back over that hand is as it was. What a kind of target is, and what else holds for it, is in its test.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from kubernetes.client import ApiClient

from activities.contracts.killswitch import LetGo
from activities.killswitch import engine
from activities.killswitch.platform import PlanStale
from lab.cluster import Cluster
from playbooks.change import PlatformChange
from playbooks.kubernetes.plan import plan_kubernetes
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import Workload
from tests.activities.kubernetes.conftest import opened
from tests.activities.kubernetes.crashing import Fuse, Killed
from tests.activities.kubernetes.making import MOMENT

POINTS = st.integers(1, 6)


class Containment(RuleBasedStateMachine):
    """One target. `hand`: which of our settings somebody else has set to something that is neither; none at first."""

    cluster: Cluster
    worker: ApiClient
    change: PlatformChange
    fuse: Fuse
    original: Any
    hand = ""
    contained = False

    def plan(self, target: Workload, intent: PlatformIntent) -> None:
        """At the end of what furnishes the ground."""
        self.fuse = Fuse(self.worker)
        self.change = plan_kubernetes(opened(self.worker).observe(target, intent), intent)
        self.original = self.look()

    @abstractmethod
    def look(self) -> Any:
        """What is taken back, as it is now."""

    @abstractmethod
    def marks(self) -> Any:
        """What a repeat must leave as it is."""

    @abstractmethod
    def edit(self, hand: str, *, undo: bool) -> None:
        """What somebody else does there, or its undoing."""

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
        before = self.marks()
        assert engine.apply(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert engine.renew(opened(self.fuse.client), self.change, MOMENT).already_standing
        assert self.marks() == before

    @precondition(lambda self: self.hand)
    @rule()
    def undo_by_hand(self) -> None:
        self.edit(self.hand, undo=True)
        self.hand = ""

    @precondition(lambda self: self.hand)
    @rule()
    def release_over_the_hand(self) -> None:
        assert self.let_go(overwrite=True).restored
        self.hand, self.contained = "", False
        assert self.look() == self.original

    def meddle(self, hand: str) -> None:
        self.edit(hand, undo=False)
        self.hand = hand

    def let_go(self, *, overwrite: bool) -> LetGo:
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


def live(machine: type[Containment], *, examples: int, steps: int, **here: object) -> None:
    """So many lives of a kind, of so many steps each."""
    bounded = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # shrinking would run the server for minutes, and the steps are printed anyhow
    )
    run_state_machine_as_test(type(f"{machine.__name__}Here", (machine,), here), settings=bounded)
