"""Planning an isolation: the same inputs give the same plan, and no plan leaves a door open."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.host_isolation import (
    HostChange,
    HostObservation,
    Interface,
    IsolationIntent,
    LifelineEndpoint,
    plan_isolation,
    refit,
    renewal,
    table_name,
)
from playbooks.isolation_rules import body
from playbooks.nftables import NftCommand

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
devices = st.sets(st.from_regex(r"[a-z][a-z0-9.@_-]{0,14}", fullmatch=True), max_size=4)
endpoints = st.builds(
    LifelineEndpoint,
    purpose=st.sampled_from(["temporal", "api", "siem", "dns"]),
    address=st.ip_addresses(),
    port=st.integers(1, 65535),
    protocol=st.sampled_from(["tcp", "udp"]),
)
intents = st.builds(
    IsolationIntent,
    incident_id=names,
    host_id=names,
    lifeline=st.lists(endpoints, min_size=1, max_size=4).map(tuple),
    lease_seconds=st.integers(1, 86400),
    ends=st.sampled_from(["open", "closed"]),
    log_group=st.none() | st.integers(0, 65535),
)


def observation(present: set[str], *, in_force: tuple[str, ...] = (), backwards: bool = False) -> HostObservation:
    ordered = ["lo", *sorted(present - {"lo"})]
    found = [Interface(name=name, ifindex=index) for index, name in enumerate(ordered, 1)]
    return HostObservation(
        host_id="h",
        boot_id="b",
        kernel="6.1",
        netns_inode=1,
        interfaces=tuple(reversed(found) if backwards else found),
        ruleset_digest="sha256:0",
        base_chains=(),
        firebreak_tables=in_force,
    )


def rules_by_chain(change: HostChange) -> dict[tuple[str, str], list[list[dict[str, Any]]]]:
    chains: dict[tuple[str, str], list[list[dict[str, Any]]]] = {}
    for command in change.commands:
        added = command.get("add", {})
        if "chain" in added:
            chains[(added["chain"]["family"], added["chain"]["name"])] = []
        if "rule" in added:
            chains[(added["rule"]["family"], added["rule"]["chain"])].append(added["rule"]["expr"])
    return chains


def table_of(command: NftCommand) -> str:
    found = body(command)
    return str(found["name"] if "table" in next(iter(command.values())) else found["table"])


@given(intents, devices)
def test_a_plan_of_what_stands_already_is_empty(intent: IsolationIntent, present: set[str]) -> None:
    standing = observation(present, in_force=("firebreak_other", table_name(intent.incident_id)))
    assert plan_isolation(standing, intent).empty
    full = plan_isolation(standing.without(table_name(intent.incident_id)), intent)
    assert full == plan_isolation(observation(present), intent)
    assert not full.empty


@given(intents, devices)
def test_the_same_host_and_intent_give_the_same_hash(intent: IsolationIntent, present: set[str]) -> None:
    plan = plan_isolation(observation(present), intent)
    assert plan.plan_hash == plan_isolation(observation(present, backwards=True), intent).plan_hash
    assert HostChange.model_validate_json(plan.model_dump_json()).plan_hash == plan.plan_hash


@given(intents, devices, st.integers(1, 86400), endpoints)
def test_another_lease_or_lifeline_gives_another_hash(
    intent: IsolationIntent, present: set[str], lease: int, endpoint: LifelineEndpoint
) -> None:
    plan = plan_isolation(observation(present), intent)
    for changed in ({"lease_seconds": lease}, {"lifeline": (*intent.lifeline, endpoint)}):
        other = intent.model_copy(update=changed)
        assert (plan_isolation(observation(present), other).plan_hash == plan.plan_hash) == (other == intent)


@given(intents, devices)
def test_every_chain_ends_in_a_drop_and_accepts_nothing_unconditionally(
    intent: IsolationIntent, present: set[str]
) -> None:
    chains = rules_by_chain(plan_isolation(observation(present), intent))
    assert {name for family, name in chains if family == "inet"} == {"input", "output", "forward"}
    assert sum(family == "netdev" for family, _ in chains) == len(present - {"lo"})
    for rules in chains.values():
        assert {"drop": None} in rules[-1]
        assert not any("match" in expr for expr in rules[-1])
        assert all("match" in rule[0] for rule in rules if {"accept": None} in rule)


@given(intents, devices)
def test_the_dead_man_is_the_first_rule_of_every_chain_or_of_none(intent: IsolationIntent, present: set[str]) -> None:
    chains = rules_by_chain(plan_isolation(observation(present), intent))
    guarded = [rules[0][0].get("match", {}).get("right") == "@armed" for rules in chains.values()]
    assert all(guarded) if intent.ends == "open" else not any(guarded)


@given(intents, devices)
def test_plan_inverse_and_renewal_touch_our_own_table_alone(intent: IsolationIntent, present: set[str]) -> None:
    change = plan_isolation(observation(present), intent)
    commands = (*change.commands, *change.inverse().commands, *renewal(change, 5))
    assert {table_of(command) for command in commands} == {table_name(intent.incident_id)}


@given(intents, devices)
def test_the_inverse_deletes_each_table_and_adds_nothing(intent: IsolationIntent, present: set[str]) -> None:
    change = plan_isolation(observation(present), intent)
    tables = {body(c)["family"] for c in change.commands}
    left: set[str] = set()
    for command in change.inverse().commands:
        (family,) = {body(command)["family"]}
        left = left | {family} if "add" in command else left - {family}
        tables -= {family} if "delete" in command else set()
    assert not left
    assert not tables
    assert change.inverse().inverse().commands == change.commands


@given(intents, devices.filter(bool), devices)
def test_refitting_to_other_orderedis_planning_for_them(
    intent: IsolationIntent, before: set[str], after: set[str]
) -> None:
    refitted = refit(plan_isolation(observation(before), intent), ["lo", *after])
    planned = plan_isolation(observation(after), intent)
    assert refitted.commands == planned.commands
    assert refitted.undo == planned.undo
    assert refitted.devices == planned.devices


@given(intents, devices, st.integers(1, 86400))
def test_a_renewal_sets_every_element_to_the_new_lease(intent: IsolationIntent, present: set[str], lease: int) -> None:
    change = plan_isolation(observation(present), intent)
    batch = renewal(change, lease)
    if intent.ends == "closed":
        assert batch == ()
        return
    timed = [element["elem"] for c in batch for element in body(c)["elem"] if isinstance(element, dict)]
    assert {entry["timeout"] for entry in timed} == {lease}
    assert {entry["val"] for entry in timed} == {"ipv4", "ipv6", *change.devices}


@pytest.mark.parametrize("incident", ["INC-1", "a.b", "x" * 200])
def test_a_table_name_is_an_identifier(incident: str) -> None:
    assert table_name(incident).replace("_", "").isalnum()
    assert table_name(incident) == table_name(incident).lower()
