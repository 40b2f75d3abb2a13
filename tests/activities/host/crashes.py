"""Ending an agent after one of its side effects, as a crash would, and looking at what is left."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from activities.contracts.orders import Order
from activities.host import conntrack, sockets
from activities.host.standing import Standings
from playbooks.host_isolation import table_name
from segmentation.workloads import Frozen
from tests.activities.host.agents import Agent
from tests.activities.host.pair import Pair

R = TypeVar("R", bound=Frozen)
_MOVING = ("handle", "expires", "packets", "bytes")


class Crash(BaseException):
    """Nobody catches this: what runs ends here."""


class Crashing:
    """Counts the side effects of an agent, and ends it after one of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.seen: list[str] = []
        self._after = 0

    def after(self, number: int) -> None:
        """Crash after the side effect of this number, counted from 1; after none for 0."""
        self.seen, self._after = [], number

    def watch(self, agent: Agent) -> Agent:
        """The agent, with every side effect counted."""
        self._wrap(agent.journal._rows, "write", "journal")
        self._wrap(agent.nft, "apply", "nft")
        self._wrap(conntrack, "delete", "conntrack")
        self._wrap(sockets, "destroy", "sockets")
        return agent

    def _wrap(self, owner: Any, name: str, called: str) -> None:
        real = getattr(owner, name)
        real = getattr(real, "uncounted", real)

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            self.seen.append(called)
            if len(self.seen) == self._after:
                raise Crash
            return result

        counted.uncounted = real  # type: ignore[attr-defined]
        self._patch.setattr(owner, name, counted)


def carry_out(agent: Agent, order: Order, verb: Callable[[Any], R]) -> R:
    """What the guard of an agent does around a verb."""
    header = order.header
    earlier = agent.journal.begin(header.order_id, "step", 0.0, header.expires_at.timestamp())
    kind: type[R] = verb.__annotations__["return"]
    if earlier is not None:
        return kind.model_validate_json(earlier)
    result = agent.inside(lambda: verb(order))
    agent.journal.finish(header.order_id, result.model_dump_json().encode())
    return result


@contextlib.contextmanager
def crashed(agent: Agent) -> Iterator[None]:
    """The agent is gone when this is left; what it has done is not."""
    try:
        with contextlib.suppress(Crash):
            yield
    finally:
        agent.stop()


def state(pair: Pair, agent: Agent, incident: str = "inc-1") -> dict[str, object]:
    """All that an order may change: rules, what stands by the journal, and whether packets pass."""
    standing = Standings(agent.journal).find(table_name(incident))
    record = None if standing is None else (standing.change, standing.before, standing.proven, standing.letting_go)
    rules = [_still(entry) for entry in agent.inside(agent.nft.list_ruleset)]
    return {"rules": json.dumps(rules, sort_keys=True), "record": record, "talks": pair.talks()}


def _still(value: Any) -> Any:
    if isinstance(value, list):
        return [_still(item) for item in value]
    if isinstance(value, dict):
        return {key: _still(item) for key, item in value.items() if key not in _MOVING}
    return value
