"""An agent with the rights of its unit, and no others, does all that an isolation does."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

from activities.contracts.host import Isolated, IsolateOrder
from lab.entering import within
from tests.activities.host.pair import CUT, LIFELINE, PEER, Pair
from tests.deploy.test_systemd import AGENT, parsed, words

PORT = 7998
TALKER = f"import socket; s = socket.create_connection(('{PEER[0]}', {PORT})); print(flush=True); input()"


@contextlib.contextmanager
def talker(pair: Pair) -> Iterator[int]:
    """A process on the host that has every right, and a session; its pid."""
    with within(pair.outer, lambda: socket.create_server((PEER[0], PORT))):
        command = ["ip", "netns", "exec", pair.inner, sys.executable, "-I", "-c", TALKER]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
            process.kill()


def cut_once(pair: Pair, rights: set[str]) -> subprocess.CompletedProcess[str]:
    agent = pair.agent()
    order = IsolateOrder(header=agent.header(), intent=agent.intent(lifeline=LIFELINE))
    arguments = (str(pair.state), agent.host_id, order.model_dump_json())
    return pair.python("tests.activities.host.cut_once", *arguments, rights=rights)


def test_the_rights_of_the_unit_are_enough_to_cut_and_to_end_sessions(pair: Pair) -> None:
    with talker(pair) as pid:
        ran = cut_once(pair, words(parsed(AGENT), "Service", "CapabilityBoundingSet"))
    assert ran.returncode == 0, ran.stderr
    done = Isolated.model_validate_json(ran.stdout)
    assert (done.read_back, done.rolled_back, done.detail, pair.talks()) == (True, False, "", CUT)
    assert done.sockets_destroyed == 1
    assert [ref.pid for ref in done.cut_off] == [pid]


def test_without_its_rights_an_agent_says_so_and_changes_nothing(pair: Pair) -> None:
    ran = cut_once(pair, {"CAP_KILL"})
    assert ran.returncode == 1
    assert "Operation not permitted" in ran.stderr
    agent = pair.agent()
    assert agent.ruleset().our_tables == ()
    assert agent.journal.standings() == {}
