import os
import signal

import pytest

from lab import cast
from lab.network import Lab
from lab.processes import alive, identify
from lab.waiting import wait_until

pytestmark = pytest.mark.lab


def test_the_intruder_holds_a_session_and_its_child_goes_on_without_the_leader(lab: Lab) -> None:
    intruder = cast.start_intruder(lab)
    seen = lab["app"].run(["ss", "-Htn", "state", "established", "sport", "=", ":8080"]).stdout
    assert lab["web"].ipv4 in seen
    assert lab["web"].ipv6 in seen
    intruder.kill()
    intruder.wait(5)
    before = _tried(lab)
    wait_until(lambda: _tried(lab) > before, 3, "the child to try again")
    child = identify(cast.intruder_status(lab)["lateral"]["pid"])
    os.killpg(intruder.pid, signal.SIGKILL)
    wait_until(lambda: not alive(child), 3, "the child's end")


def _tried(lab: Lab) -> int:
    return int(cast.intruder_status(lab)["lateral"]["ipv4"]["tried"])


def test_the_intruder_never_reaches_db(lab: Lab) -> None:
    intruder = cast.start_intruder(lab)
    wait_until(lambda: _outcomes(lab, "timed_out") >= 4, 5, "some tries to fail")
    assert _outcomes(lab, "connected") == 0
    os.killpg(intruder.pid, signal.SIGKILL)
    intruder.wait(5)


def _outcomes(lab: Lab, outcome: str) -> int:
    lateral = cast.intruder_status(lab)["lateral"]
    return int(lateral["ipv4"][outcome] + lateral["ipv6"][outcome])


def test_the_bystander_is_served_by_everybody(lab: Lab) -> None:
    bystander = cast.start_bystander(lab)
    wait_until(lambda: cast.bystander_status(lab)["db"]["asked"] >= 4, 5, "some requests")
    status = cast.bystander_status(lab)
    assert [status[service]["failed"] for service in ("app", "db", "web")] == [0, 0, 0]
    bystander.kill()
    bystander.wait(5)
