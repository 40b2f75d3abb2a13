"""Every point at which the process can die while it changes something of a network, and what a repeat makes of it."""

import itertools

import pytest

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.network_cases import NETWORK_CASES
from tests.activities.aws.sweeping import Sweep
from tests.activities.aws.wire import Wire


@pytest.mark.parametrize("name", list(NETWORK_CASES))
def test_a_repeat_after_a_crash_anywhere_ends_as_without_one(
    name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    sweep = Sweep(NETWORK_CASES[name], "swept", accounts, sessions, wire)
    allowed = sweep.open_to()
    sweep.apply()
    cut = sweep.open_to()
    sweep.release()
    assert sweep.look() == sweep.original

    for at in itertools.count():
        applying = sweep.crashes(sweep.apply, at)
        assert cut <= sweep.open_to() <= allowed
        sweep.apply()
        assert engine.verify(sweep.platform, sweep.change).differing == ()
        assert sweep.open_to() == cut

        releasing = sweep.crashes(sweep.release, at)
        assert cut <= sweep.open_to() <= allowed
        sweep.release()
        assert sweep.look() == sweep.original
        if not (applying or releasing):
            assert at > 2
            return
