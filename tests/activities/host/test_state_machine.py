"""Whatever happens to a host and its agent, in whatever order: it is as closed as it was, and comes back as it was."""

from typing import ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from activities.contracts.host import Isolated, IsolateOrder, Released, ReleaseOrder, RenewOrder
from activities.contracts.orders import Order
from activities.host.generation import Generation
from activities.host.ruleset import Ruleset, drift
from playbooks.host_isolation import IsolationIntent
from segmentation.workloads import Frozen
from tests.activities.host.agents import Agent
from tests.activities.host.crashes import Crashing, carry_out, crashed
from tests.activities.host.pair import CUT, LIFELINE, OPEN, Pair

TABLE = "firebreak_inc_1"
OTHERS = """
add table inet others
add chain inet others input { type filter hook input priority 0; policy accept; }
add rule inet others input tcp dport 22 accept
add set inet others peers { type ipv4_addr; }
"""
TOUCHES = (
    "add table ip foreign",
    "add rule inet others input tcp dport 23 accept",
    "add element inet others peers { 10.0.0.1 }",
)
OPENINGS = ("flush ruleset", f"delete table inet {TABLE}", f"insert rule inet {TABLE} output accept")
# After how many side effects the agent dies, and whether another order follows, or the same again.
crashes = st.none() | st.tuples(st.integers(1, 8), st.booleans())
Given = TypeVar("Given", bound=Order)


class HostContainment(RuleBasedStateMachine):
    """Contain, renew, crash, duplicate, drift, reboot, release: on a real kernel, with a real journal."""

    pair: ClassVar[Pair]
    crashing: ClassVar[Crashing]

    def __init__(self) -> None:
        super().__init__()
        self.pair.host.run(["nft", "-f", "-"], stdin="flush ruleset\n" + OTHERS)
        for file in self.pair.state.glob("journal.*"):
            file.unlink()
        self.agent = self._start()
        self.original = self._ruleset()
        self.first: Isolated | None = None
        # What stood before, by the rules of others: what they touch meanwhile stays theirs.
        self.expected = self.original
        self.intact = True
        self.last: tuple[str, Order] | None = None

    @property
    def contained(self) -> bool:
        return self.first is not None

    @initialize()
    def contain_at_once(self) -> None:
        self.contain(None)

    @rule(crash=crashes)
    def contain(self, crash: tuple[int, bool] | None) -> None:
        order = IsolateOrder(header=self.agent.header(), intent=self._intent())
        order = self._may_crash("isolate_host", order, crash)
        done = self._carry_out("isolate_host", order)
        assert isinstance(done, Isolated)
        assert (done.read_back, done.rolled_back) == (True, False)
        self.first = self.first or done
        assert done.observation == self.first.observation
        assert done.observation.ruleset_digest == self.expected.digest or self.contained
        self._contain_again()

    @precondition(lambda self: self.contained)
    @rule(crash=crashes)
    def renew(self, crash: tuple[int, bool] | None) -> None:
        assert self.first is not None
        order = RenewOrder(header=self.agent.header(), change=self.first.change, lease_seconds=300)
        order = self._may_crash("renew_lease", order, crash)
        self._carry_out("renew_lease", order)
        self.intact = True

    @precondition(lambda self: self.last is not None)
    @rule()
    def give_the_last_order_again(self) -> None:
        assert self.last is not None
        before = self._marks()
        self._carry_out(*self.last)
        assert self._marks() == before

    @rule()
    def restart_the_agent(self) -> None:
        self.agent.stop()
        self.agent = self._start()
        self._resume()

    @rule()
    def reboot_the_host(self) -> None:
        self.agent.stop()
        self.pair.reboot()
        self.pair.host.run(["nft", "-f", "-"], stdin=OTHERS)
        self.agent = self._start()
        self.expected = self._ruleset()
        self._resume()

    @precondition(lambda self: self.contained)
    @rule(how=st.sampled_from(OPENINGS), repair=st.sampled_from(("contain", "renew", "restart_the_agent")))
    def somebody_opens_it(self, how: str, repair: str) -> None:
        self.pair.host.run(["nft", how])
        self.expected = self._ruleset()
        self.intact = False
        getattr(self, repair)(*(() if repair == "restart_the_agent" else (None,)))
        assert self.intact

    @rule(touch=st.sampled_from(TOUCHES))
    def somebody_touches_his_own(self, touch: str) -> None:
        self.pair.host.run(["nft", touch], check=False)
        self.expected = self._ruleset()

    @precondition(lambda self: self.contained)
    @rule(crash=crashes)
    def release(self, crash: tuple[int, bool] | None) -> None:
        assert self.first is not None
        order = ReleaseOrder(header=self.agent.header(), change=self.first.change, observation=self.first.observation)
        order = self._may_crash("release_host", order, crash)
        released = self._carry_out("release_host", order)
        before = self.first.observation
        self.first, self.intact = None, True
        after = self._ruleset()
        assert isinstance(released, Released)
        assert after.our_tables == ()
        assert after.digest == self.expected.digest
        assert released.drift == drift(before.ruleset_outline, after.outline)
        assert released.restored == (after.digest == before.ruleset_digest)

    @invariant()
    def it_is_as_closed_as_was_ordered_and_the_rules_of_others_are_theirs(self) -> None:
        assert self.pair.talks() == (CUT if self.contained else OPEN)
        assert self._ruleset().digest == self.expected.digest

    def teardown(self) -> None:
        self.agent.stop()

    def _contain_again(self) -> None:
        """A second order changes nothing, in the kernel or in the journal."""
        before = self._marks()
        assert self.agent.isolate(self._intent()).already_standing
        assert self._marks() == before
        self.intact = True

    def _marks(self) -> tuple[int, str | None]:
        """What differs after any change of rules, and after any of what stands by the journal."""
        generation = Generation()
        try:
            return self.agent.inside(generation.read), self.agent.journal.standing(TABLE)
        finally:
            generation.close()

    def _start(self) -> Agent:
        return self.crashing.watch(self.pair.agent())

    def _resume(self) -> None:
        outcomes = set(self.agent.resume().values())
        assert outcomes <= {"loaded", "standing"}
        assert bool(outcomes) == self.contained
        self.intact = True

    def _intent(self) -> IsolationIntent:
        return self.agent.intent(lease=300, lifeline=LIFELINE)

    def _ruleset(self) -> Ruleset:
        return self.agent.ruleset()

    def _may_crash(self, verb: str, order: Given, crash: tuple[int, bool] | None) -> Given:
        """Die meanwhile, and be started again; a cut that stood is never opened by it. The order that comes next."""
        if crash is None:
            return order
        number, another = crash
        shut = self.contained and self.intact and verb != "release_host"
        self.crashing.after(number)
        with crashed(self.agent):
            self._carry_out(verb, order)
        self.crashing.after(0)
        assert not shut or self.pair.talks() == CUT
        self.agent = self._start()
        return order.model_copy(update={"header": self.agent.header()}) if another else order

    def _carry_out(self, verb: str, order: Order) -> Frozen:
        self.last = (verb, order)
        done: Frozen = carry_out(self.agent, order, getattr(self.agent.killswitch, verb))
        return done


@pytest.fixture
def machine(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> type[HostContainment]:
    HostContainment.pair, HostContainment.crashing = pair, Crashing(monkeypatch)
    return HostContainment


def test_a_host_ends_as_it_began_and_is_never_more_open_in_between(machine: type[HostContainment]) -> None:
    limits = settings(max_examples=10, stateful_step_count=8, deadline=None)
    run_state_machine_as_test(machine, settings=limits)
