"""One target that is contained, renewed and let go again and again, with a crash one call later each time.

A crash is set after each call that changes something. Calls that only read leave nothing behind: dying after one is
dying after the change before it.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from playbooks.aws.plan import plan_aws
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import Case
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Crash, Wire, changes

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Sweep:
    """`name` is what the target is called where AWS does not name it."""

    def __init__(self, case: Case, name: str, accounts: Accounts, sessions: AwsSessions, wire: Wire) -> None:
        self.case, self.accounts, self.wire = case, accounts, wire
        self.name = case.prepare(accounts, name) or name
        target = accounts.target(case.kind, self.name)
        self.platform = sessions.open(target, "inc-1")
        self.original = self.look()
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
