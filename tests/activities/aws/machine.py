"""What may happen to a target of any kind, in any order: contained, renewed, released, repeated, crashed, meddled."""

import itertools
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PlanStale
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import Case
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Crash, Wire, changes

_numbers = itertools.count(1)
CALLS = st.integers(min_value=0, max_value=9)


class Containment(RuleBasedStateMachine):
    """One target of one case; `change` is what history has of it, durable before anything is applied."""

    def __init__(self, case: Case, accounts: Accounts, sessions: AwsSessions, wire: Wire) -> None:
        super().__init__()
        self.case, self.accounts, self.wire = case, accounts, wire
        self.name = f"target-{next(_numbers)}"
        self.name = case.prepare(accounts, self.name) or self.name
        self.target = accounts.target(case.kind, self.name)
        self.platform = sessions.open(self.target, "inc-1")
        self.original = self.seen = self.look()
        self.change: PlatformChange | None = None
        self.complete = self.meddled = False

    def look(self) -> dict[str, Any]:
        return self.case.look(self.accounts, self.name)

    def opened(self, more: set[str] | None = None) -> set[str]:
        """Who gets through now and did not when the target was last looked at, nor is one of these."""
        before, self.seen = self.seen, self.look()
        return self.case.open_to(self.seen) - self.case.open_to(before) - (more or set())

    def planned(self) -> PlatformChange:
        if self.change is None:
            intent = self.case.intent(self.target)
            self.change = plan_aws(self.platform.observe(self.target, intent), intent)
        return self.change

    @rule()
    def contain(self) -> None:
        try:
            engine.apply(self.platform, self.planned(), moment())
        except PlanStale:
            assert self.meddled
        else:
            self.complete = True
            assert engine.verify(self.platform, self.planned()).differing == ()
        assert not self.opened()

    @rule(at=CALLS)
    def contain_and_crash(self, at: int) -> None:
        change = self.planned()
        with self.wire.failing(Crash(), "after", lambda _: True, at), suppress(Crash, PlanStale):
            engine.apply(self.platform, change, moment())
        assert not self.opened()

    @precondition(lambda self: self.complete and not self.meddled)
    @rule()
    def contain_again(self) -> None:
        calls = len(self.wire.actions)
        assert engine.apply(self.platform, self.planned(), moment()).already_standing
        assert not any(changes(action) for action in self.wire.actions[calls:])
        intent = self.case.intent(self.target)
        assert plan_aws(self.platform.observe(self.target, intent), intent).empty

    @precondition(lambda self: self.complete)
    @rule(at=CALLS)
    def renew_and_crash(self, at: int) -> None:
        with self.wire.failing(Crash(), "after", lambda _: True, at), suppress(Crash):
            engine.renew(self.platform, self.planned(), moment())
        assert not self.opened()

    @precondition(lambda self: self.complete)
    @rule()
    def meddle(self) -> None:
        self.case.by_hand(self.accounts, self.name)
        self.meddled, self.seen = True, self.look()

    @precondition(lambda self: self.change is not None)
    @rule(at=CALLS)
    def release_and_crash(self, at: int) -> None:
        change = self.planned()
        with self.wire.failing(Crash(), "after", lambda _: True, at), suppress(Crash):
            engine.release(self.platform, change, moment(), overwrite=False)
        self.complete = False
        assert not self.opened(self.case.open_to(self.original))

    @precondition(lambda self: self.change is not None)
    @rule(overwrite=st.booleans())
    def release(self, overwrite: bool) -> None:
        let_go = engine.release(self.platform, self.planned(), moment(), overwrite=overwrite)
        assert let_go.restored == (overwrite or not self.meddled)
        self.complete = False
        assert not self.opened(self.case.open_to(self.original))
        if let_go.restored:
            self.change, self.meddled = None, False
            assert self.seen == self.original

    def teardown(self) -> None:
        if self.change is not None:
            assert engine.release(self.platform, self.change, moment(), overwrite=True).restored
        assert self.look() == self.original
