"""`firebreak agent --reapply`, as it runs when a host comes up: no network, no agent, the journal alone."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.processes.joining import Identity, save_identity
from segmentation.workloads import Workload
from tests.activities.host.pair import CUT, LIFELINE, OPEN, Pair
from tests.deploy.test_systemd import REAPPLY, parsed, words


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Pair(tmp_path) as made:
        yield made


def joined(pair: Pair) -> None:
    workload = Workload(workload_id=pair.host.machine_id, name="host")
    key = b64encode(b"k" * 32).decode()
    identity = Identity(
        workload=workload,
        control_public_key=key,
        temporal_address="127.0.0.1:1",
        temporal_namespace="default",
        api_url="http://127.0.0.1:1",
    )
    save_identity(pair.state, identity)


def reapply(pair: Pair) -> tuple[int, str]:
    """With the rights of its unit alone."""
    rights = words(parsed(REAPPLY), "Service", "CapabilityBoundingSet")
    done = pair.python("api.cli.main", "agent", "--reapply", "--state-dir", str(pair.state), rights=rights)
    return done.returncode, done.stdout + done.stderr


def test_a_host_that_comes_up_is_cut_again(pair: Pair) -> None:
    joined(pair)
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    agent.stop()
    pair.reboot()
    assert pair.talks() == OPEN
    first, second = reapply(pair), reapply(pair)
    assert (first[0], "outcome=loaded" in first[1]) == (0, True), first
    assert (second[0], "outcome=standing" in second[1]) == (0, True), second
    assert pair.talks() == CUT
    assert pair.agent().ruleset().holds(done.change)


def test_what_could_not_be_loaded_is_a_failure(pair: Pair) -> None:
    joined(pair)
    agent = pair.agent()
    agent.journal.keep_standing("firebreak_odd", "{}")
    agent.stop()
    code, said = reapply(pair)
    assert code == 1
    assert "firebreak_odd" in said


def test_a_host_that_never_joined_has_nothing_to_load(pair: Pair) -> None:
    code, _ = reapply(pair)
    assert (code, list(pair.state.iterdir())) == (0, [])
