"""Every point at which the process can die while it contains, renews or lets go of an identity or a resource.

A crash is set after each call that changes something: dying after one that only reads is dying after the change before.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from playbooks.aws.plan import plan_aws
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import CASES
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Crash, Wire, changes

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Sweep:
    """One target that is contained, renewed and let go again and again, with a crash one call later each time."""

    def __init__(self, name: str, accounts: Accounts, sessions: AwsSessions, wire: Wire) -> None:
        self.case, self.accounts, self.wire = CASES[name], accounts, wire
        # Names of buckets are shared by all accounts.
        self.name, case = f"swept-{name}", self.case
        case.prepare(accounts, self.name)
        target = accounts.target(case.kind, self.name)
        self.platform = sessions.open(target, "inc-1")
        intent = case.intent(target)
        self.change = plan_aws(self.platform.observe(target, intent), intent)

    def apply(self) -> None:
        engine.apply(self.platform, self.change, moment())

    def renew(self) -> None:
        engine.renew(self.platform, self.change, moment())

    def release(self) -> None:
        assert engine.release(self.platform, self.change, moment(), overwrite=False).restored

    def look(self) -> Any:
        """The target as its owner sees it; when exactly something was written is no difference."""
        return json.loads(TIME.sub("then", json.dumps(self.case.look(self.accounts, self.name))))

    def open_to(self) -> set[str]:
        return self.case.open_to(self.case.look(self.accounts, self.name))

    def crashes(self, verb: Callable[[], None], at: int) -> bool:
        """Whether there is a call at which to die."""
        with self.wire.failing(Crash(), "after", changes, at):
            try:
                verb()
            except Crash:
                return True
        return False


@pytest.mark.parametrize("name", list(CASES))
def test_a_repeat_after_a_crash_anywhere_ends_as_without_one(
    name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    sweep = Sweep(name, accounts, sessions, wire)
    original, open_before = sweep.look(), sweep.open_to()
    sweep.apply()
    contained = sweep.look()
    sweep.release()
    assert sweep.look() == original != contained

    for verb, before, after in (
        (sweep.apply, sweep.release, contained),
        (sweep.renew, sweep.apply, contained),
        (sweep.release, sweep.apply, original),
    ):
        before()
        at = 0
        while sweep.crashes(verb, at):
            assert sweep.open_to() <= open_before
            verb()
            assert sweep.look() == after
            before()
            at += 1
        assert verb == sweep.renew or at >= len(sweep.change.settings)
