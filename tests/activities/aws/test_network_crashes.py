"""Every point at which the process can die while it changes something, and what a repeat makes of it.

A crash is set after each call that changes something. Calls that only read leave nothing behind: dying after one is
dying after the change before it.
"""

import itertools

import pytest

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from playbooks.aws.plan import plan_aws
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import Case, State
from tests.activities.aws.estate import moment
from tests.activities.aws.network_cases import NETWORK_CASES
from tests.activities.aws.wire import Crash, Wire, changes


class Sweep:
    """One target that is contained and let go again and again, with a crash one call later each time."""

    def __init__(self, case: Case, accounts: Accounts, sessions: AwsSessions, wire: Wire) -> None:
        self.wire, self.case, self.accounts = wire, case, accounts
        self.name = case.prepare(accounts, "swept") or "swept"
        target = accounts.target(case.kind, self.name)
        self.platform: AwsPlatform = sessions.open(target, "inc-1")
        self.original = self.look()
        intent = case.intent(target)
        self.change = plan_aws(self.platform.observe(target, intent), intent)

    def look(self) -> State:
        return self.case.look(self.accounts, self.name)

    def openness(self) -> set[str]:
        return self.case.open_to(self.look())

    def apply(self) -> None:
        engine.apply(self.platform, self.change, moment())

    def release(self) -> None:
        assert engine.release(self.platform, self.change, moment(), overwrite=False).restored

    def crashes(self, at: int, *, releasing: bool) -> bool:
        with self.wire.failing(Crash(), "after", changes, at):
            try:
                self.release() if releasing else self.apply()
            except Crash:
                return True
        return False


@pytest.mark.parametrize("name", list(NETWORK_CASES))
def test_a_repeat_after_a_crash_anywhere_ends_as_without_one(
    name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    sweep = Sweep(NETWORK_CASES[name], accounts, sessions, wire)
    allowed = sweep.case.open_to(sweep.original)
    sweep.apply()
    cut = sweep.openness()
    sweep.release()
    assert sweep.look() == sweep.original

    for at in itertools.count():
        applying = sweep.crashes(at, releasing=False)
        assert cut <= sweep.openness() <= allowed
        sweep.apply()
        assert engine.verify(sweep.platform, sweep.change).differing == ()
        assert sweep.openness() == cut

        releasing = sweep.crashes(at, releasing=True)
        assert cut <= sweep.openness() <= allowed
        sweep.release()
        assert sweep.look() == sweep.original
        if not (applying or releasing):
            assert at > 2
            return
