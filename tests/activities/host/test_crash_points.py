"""An agent that dies after any of its side effects, and is given the same order again, ends where it would have."""

import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from activities.contracts.host import Isolated, IsolateOrder, Released, ReleaseOrder, Renewed, RenewOrder
from activities.contracts.orders import Order
from activities.host import lifeline
from lab.entering import within
from tests.activities.host.agents import Agent
from tests.activities.host.crashes import Crashing, carry_out, crashed, state
from tests.activities.host.pair import CUT, LIFELINE, OPEN, PEER, Pair

DEAD = LIFELINE[0].model_copy(update={"port": 7999})
PORT = 7998
_ids = itertools.count(1)


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Crashing:
    return Crashing(monkeypatch)


@pytest.fixture
def session(pair: Pair) -> Iterator[Callable[[], None]]:
    """Gives the host an established session, something to end."""
    opened: list[socket.socket] = []
    server = within(pair.outer, lambda: socket.create_server((PEER[0], PORT), backlog=64))

    def connect() -> None:
        opened.append(within(pair.inner, lambda: socket.create_connection((PEER[0], PORT), timeout=1)))

    yield connect
    for end in (*opened, server):
        end.close()


class Sweep:
    """One order, carried out on a host that is made as it was before, for each crash point anew."""

    def __init__(self, pair: Pair, crashing: Crashing, prepare: Callable[[Agent], Order]) -> None:
        self._pair, self._crashing, self._prepare = pair, crashing, prepare

    def run(self, verb: str, meanwhile: Callable[[tuple[int, int]], None]) -> list[str]:
        """The side effects; `meanwhile` judges what passes between each crash and the next start."""
        effects, expected = self._undisturbed(verb)
        for number in range(1, len(effects) + 1):
            agent, order = self._begin()
            self._crashing.after(number)
            with crashed(agent):
                carry_out(agent, order, getattr(agent.killswitch, verb))
            assert len(self._crashing.seen) == number
            meanwhile(self._pair.talks())
            assert (number, effects[number - 1], self._retried(order, verb)) == (number, effects[number - 1], expected)
        return effects

    def _undisturbed(self, verb: str) -> tuple[list[str], dict[str, object]]:
        agent, order = self._begin()
        self._crashing.after(0)
        carry_out(agent, order, getattr(agent.killswitch, verb))
        return list(self._crashing.seen), self._end(agent)

    def _retried(self, order: Order, verb: str) -> dict[str, object]:
        agent = self._pair.agent()
        carry_out(agent, order, getattr(agent.killswitch, verb))
        return self._end(agent)

    def _begin(self) -> tuple[Agent, Order]:
        self._crashing.after(0)
        agent = self._crashing.watch(self._pair.agent())
        return agent, self._prepare(agent)

    def _end(self, agent: Agent) -> dict[str, object]:
        found = state(self._pair, agent)
        agent.journal.drop_standing("firebreak_inc_1")
        agent.close()
        return found


def isolate_order(agent: Agent, **intent: object) -> IsolateOrder:
    wanted = agent.intent(lifeline=LIFELINE).model_copy(update=intent)
    return IsolateOrder(header=agent.header(f"order-{next(_ids)}-crash"), intent=wanted)


def isolated(agent: Agent) -> Isolated:
    return carry_out(agent, isolate_order(agent), agent.killswitch.isolate_host)


def test_isolating(pair: Pair, crashing: Crashing, session: Callable[[], None]) -> None:
    def prepare(agent: Agent) -> Order:
        session()
        return isolate_order(agent)

    passed: list[tuple[int, int]] = []
    effects = Sweep(pair, crashing, prepare).run("isolate_host", passed.append)
    assert effects == ["journal", "journal", "nft", "sockets", "conntrack", "journal", "journal"]
    # What was cut stays cut, whoever dies.
    assert passed == [OPEN] * 2 + [CUT] * 5


def test_isolating_with_a_dead_lifeline(pair: Pair, crashing: Crashing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "_PATIENCE_SECONDS", 0.05)
    sweep = Sweep(pair, crashing, lambda agent: isolate_order(agent, lifeline=(DEAD,)))
    passed: list[tuple[int, int]] = []
    effects = sweep.run("isolate_host", passed.append)
    assert effects == ["journal", "journal", "nft", "journal", "nft", "journal", "journal"]
    assert passed == [OPEN] * 2 + [CUT] * 2 + [OPEN] * 3


def test_renewing(pair: Pair, crashing: Crashing) -> None:
    def prepare(agent: Agent) -> Order:
        return RenewOrder(
            header=agent.header(f"order-{next(_ids)}-crash"), change=isolated(agent).change, lease_seconds=90
        )

    passed: list[tuple[int, int]] = []
    effects = Sweep(pair, crashing, prepare).run("renew_lease", passed.append)
    assert effects == ["journal", "journal", "journal", "nft", "journal"]
    assert passed == [CUT] * 5


def test_renewing_what_was_flushed(pair: Pair, crashing: Crashing) -> None:
    def prepare(agent: Agent) -> Order:
        done = isolated(agent)
        agent.host.run(["nft", "flush", "ruleset"])
        return RenewOrder(header=agent.header(f"order-{next(_ids)}-crash"), change=done.change, lease_seconds=90)

    passed: list[tuple[int, int]] = []
    Sweep(pair, crashing, prepare).run("renew_lease", passed.append)
    assert passed == [OPEN] * 3 + [CUT] * 2


def test_releasing(pair: Pair, crashing: Crashing) -> None:
    def prepare(agent: Agent) -> Order:
        done = isolated(agent)
        header = agent.header(f"order-{next(_ids)}-crash")
        return ReleaseOrder(header=header, change=done.change, observation=done.observation)

    passed: list[tuple[int, int]] = []
    effects = Sweep(pair, crashing, prepare).run("release_host", passed.append)
    assert effects == ["journal", "journal", "journal", "nft", "journal", "journal"]
    assert passed == [CUT] * 3 + [OPEN] * 3


def test_a_retry_says_what_the_first_attempt_found(pair: Pair, crashing: Crashing) -> None:
    agent = crashing.watch(pair.agent())
    done = isolated(agent)
    agent.host.run(["nft", "flush", "ruleset"])
    renew = RenewOrder(header=agent.header("renew-crash"), change=done.change, lease_seconds=90)
    crashing.after(4)
    with crashed(agent):
        carry_out(agent, renew, agent.killswitch.renew_lease)
    crashing.after(0)
    again = crashing.watch(pair.agent())
    renewed: Renewed = carry_out(again, renew, again.killswitch.renew_lease)
    assert not renewed.standing
    header = again.header("release-crash")
    release = ReleaseOrder(header=header, change=done.change, observation=done.observation)
    crashing.after(4)
    with crashed(again):
        carry_out(again, release, again.killswitch.release_host)
    last = pair.agent()
    released: Released = carry_out(last, release, last.killswitch.release_host)
    assert (released.was_standing, released.restored) == (True, True)


def test_what_was_being_let_go_when_the_agent_died_is_not_loaded_again(pair: Pair, crashing: Crashing) -> None:
    agent = crashing.watch(pair.agent())
    done = isolated(agent)
    header = agent.header("release-crash")
    crashing.after(4)
    with crashed(agent):
        order = ReleaseOrder(header=header, change=done.change, observation=done.observation)
        carry_out(agent, order, agent.killswitch.release_host)
    again = pair.agent()
    assert again.resume() == {done.change.table: "let-go"}
    assert pair.talks() == OPEN
    fresh = again.isolate(again.intent(lifeline=LIFELINE))
    assert (fresh.already_standing, pair.talks()) == (False, CUT)
