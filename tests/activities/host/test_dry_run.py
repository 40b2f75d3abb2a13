"""A dry run says what nft would refuse and who else would cut the lifeline, and changes nothing."""

from collections.abc import Iterator

import pytest

from activities.contracts.host import DryRun, DryRunOrder
from activities.host.generation import Generation
from activities.host.ownership import ForeignChange
from playbooks.host_isolation import HostChange, LifelineEndpoint, lifeline_of, plan_isolation
from playbooks.isolation_modes import BlockPort, EgressOnly, Mode, Service
from playbooks.nftables import base_chain
from tests.activities.host.agents import LIFELINE, LIFELINE_PORT, Agent

NOBODY = LifelineEndpoint(purpose="temporal", address=LIFELINE[0].address, port=7999)
TO_CONTROL = f"10.78.0.1:{LIFELINE_PORT}/tcp"


def plan(agent: Agent, mode: Mode | None = None, lifeline: tuple[LifelineEndpoint, ...] = LIFELINE) -> HostChange:
    intent = agent.intent(lifeline=lifeline)
    return plan_isolation(agent.observe(), intent.model_copy(update={"mode": mode}) if mode else intent)


def rehearse(agent: Agent, change: HostChange) -> DryRun:
    order = DryRunOrder(header=agent.header(), change=change)
    return agent.inside(lambda: agent.killswitch.dry_run_host(order))


@pytest.fixture
def others(web: Agent) -> Iterator[str]:
    """A table of somebody else's, removed after the test."""
    web.host.run(["nft", "add table inet others"])
    yield "inet others"
    web.host.run(["nft", "delete table inet others"])


@pytest.mark.parametrize("mode", [None, EgressOnly(), BlockPort(services=(Service(port=1),))])
def test_a_plan_that_would_be_carried_out_meets_no_objection(web: Agent, mode: Mode | None) -> None:
    change = plan(web, mode)
    assert [address for address, _, _ in lifeline_of(change)] == [endpoint.address for endpoint in LIFELINE]
    said = rehearse(web, change)
    assert (said.refusals, said.warnings) == ((), ())


def test_a_dry_run_changes_nothing(web: Agent) -> None:
    generation = web.inside(Generation)
    before, listed = web.inside(generation.read), web.inside(web.nft.list_ruleset)
    rehearse(web, plan(web))
    assert web.ruleset().our_tables == ()
    assert (web.inside(generation.read), web.inside(web.nft.list_ruleset)) == (before, listed)
    generation.close()


def test_a_device_that_is_gone_is_an_objection(web: Agent) -> None:
    web.host.run(["ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1"])
    change = plan(web)
    web.host.run(["ip", "link", "delete", "gone0"])
    (refusal,) = rehearse(web, change).refusals
    assert "Interface does not exist" in refusal


def test_the_kernel_itself_is_asked_about_the_batch(web: Agent) -> None:
    change = plan(web)
    # nft takes it; that nat has no place on this hook is known to the kernel alone.
    chain = base_chain("inet", change.table, "odd", hook="forward", priority=0)
    chain["add"]["chain"]["type"] = "nat"
    (refusal,) = rehearse(web, change.model_copy(update={"commands": (*change.commands, chain)})).refusals
    assert "Could not process rule: Operation not supported" in refusal
    assert web.ruleset().our_tables == ()


def test_what_stands_already_meets_no_objection(web: Agent) -> None:
    web.isolate()
    change = plan(web)
    assert change.empty
    assert rehearse(web, change).refusals == ()


def test_a_change_of_another_table_is_not_even_rehearsed(web: Agent) -> None:
    with pytest.raises(ForeignChange):
        rehearse(web, plan(web).model_copy(update={"commands": ({"flush": {"ruleset": None}},)}))


def test_an_endpoint_that_does_not_answer_is_named(web: Agent) -> None:
    said = rehearse(web, plan(web, lifeline=(*LIFELINE, NOBODY)))
    assert said.warnings == ("10.78.0.1:7999/tcp of the lifeline does not answer now: refused",)


def test_a_chain_of_others_that_drops_the_lifeline_is_named(web: Agent, others: str) -> None:
    web.host.run(["nft", f"add chain {others} out {{ type filter hook output priority 10; }}"])
    web.host.run(["nft", f"add rule {others} out ip daddr 10.78.0.0/16 tcp dport {LIFELINE_PORT} drop"])
    warnings = rehearse(web, plan(web)).warnings
    assert f"chain inet others out (priority 10) drops the lifeline to {TO_CONTROL}" in warnings
    assert not any("drop" in warning and "fd78" in warning for warning in warnings)
    done = web.isolate(web.intent(lifeline=LIFELINE[:1]))
    assert done.rolled_back  # what was warned of is what happens


def test_a_chain_that_waits_for_answers_nobody_lets_in_is_named(web: Agent, others: str) -> None:
    web.host.run(["nft", f"add chain {others} in {{ type filter hook input priority -50; policy drop; }}"])
    web.host.run(["nft", f'add rule {others} in iifname "lo" accept'])
    web.host.run(["nft", f"add rule {others} in meta nfproto ipv6 accept"])
    assert f"chain inet others in (priority -50) drops the answers of {TO_CONTROL}" in rehearse(web, plan(web)).warnings
    web.host.run(["nft", f"insert rule {others} in ct state established accept"])
    assert rehearse(web, plan(web)).warnings == ()


def test_what_is_not_known_beforehand_is_said_to_be_possible(web: Agent, others: str) -> None:
    web.host.run(["nft", f"add chain {others} out {{ type filter hook output priority 0; }}"])
    web.host.run(["nft", f"add rule {others} out meta skuid 4711 drop"])
    assert rehearse(web, plan(web, lifeline=LIFELINE[:1])).warnings == (
        f"chain inet others out (priority 0) may drop the lifeline to {TO_CONTROL}",
    )
