"""Buckets and functions under everything that may happen to them, in any order."""

from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from activities.aws.sessions import AwsSessions
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import CASES
from tests.activities.aws.machine import Containment
from tests.activities.aws.wire import Wire


@pytest.mark.parametrize("name", ["bucket", "function"])
def test_what_is_restored_is_what_was_and_nothing_is_ever_more_open(
    name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    machine: Any = partial(Containment, CASES[name], accounts, sessions, wire)
    run_state_machine_as_test(machine, settings=settings(max_examples=4, stateful_step_count=8, deadline=None))
