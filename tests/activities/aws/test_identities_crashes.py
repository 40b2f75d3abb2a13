"""Every point at which the process can die while it contains, renews or lets go of an identity or a resource."""

import pytest

from activities.aws.sessions import AwsSessions
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import CASES
from tests.activities.aws.sweeping import Sweep
from tests.activities.aws.wire import Wire


@pytest.mark.parametrize("name", list(CASES))
def test_a_repeat_after_a_crash_anywhere_ends_as_without_one(
    name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    # Names of buckets are shared by all accounts.
    sweep = Sweep(CASES[name], f"swept-{name}", accounts, sessions, wire)
    original, open_before = sweep.original, sweep.open_to()
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
