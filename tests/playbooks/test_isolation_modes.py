"""Modes: rules and predicate say the same of every session, and no mode opens what another had cut."""

from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from playbooks.host_isolation import (
    HostChange,
    HostObservation,
    IsolationIntent,
    LifelineEndpoint,
    plan_isolation,
    refit,
    renewal,
    table_name,
)
from playbooks.isolation_modes import (
    ISOLATE_ALL,
    BlockAlertedPeer,
    BlockPeer,
    BlockPort,
    EgressOnly,
    Isolate,
    Mode,
    Reach,
    Service,
    Session,
    cuts,
    cuts_forwarded,
    for_alert,
    silences,
)
from playbooks.isolation_rules import body
from playbooks.playbook import ContainSpec
from tests.playbooks.packets import Packet, packets, verdict
from tests.playbooks.test_host_isolation import devices, intents, observation, rules_by_chain, table_of

# Few values, so that sessions often meet what a mode names.
V4 = [IPv4Address(f"10.0.{net}.{host}") for net in (0, 1) for host in (1, 2)]
V6 = [IPv6Address(f"fd00:{net}::{host}") for net in (1, 2) for host in (1, 2)]
NETWORKS = [ip_network(n) for n in ("10.0.0.0/24", "10.0.1.0/31", "10.0.1.2/32", "fd00:1::/64", "fd00:2::1/128")]
PORTS = [22, 53, 40000]
LIFELINE = LifelineEndpoint(purpose="temporal", address=ip_address("192.0.2.1"), port=7233)

services = st.builds(
    Service,
    port=st.sampled_from(PORTS),
    protocol=st.sampled_from(["tcp", "udp"]),
    direction=st.sampled_from(["in", "out", "both"]),
)
networks = st.sampled_from(NETWORKS)
reaches = st.builds(Reach, peers=networks, service=st.none() | services)
partial: st.SearchStrategy[Mode] = st.one_of(
    st.builds(Isolate, allow=st.lists(reaches, min_size=1, max_size=3).map(tuple)),
    st.builds(BlockPeer, peers=st.lists(networks, min_size=1, max_size=3).map(tuple)),
    st.builds(BlockPort, services=st.lists(services, min_size=1, max_size=3).map(tuple)),
    st.just(EgressOnly()),
)
partial_intents = st.builds(lambda intent, mode: intent.model_copy(update={"mode": mode}), intents, partial)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    pool: list[Any] = draw(st.sampled_from([V4, V6]))
    return Session(
        local=draw(st.sampled_from(pool)),
        local_port=draw(st.sampled_from(PORTS)),
        remote=draw(st.sampled_from(pool)),
        remote_port=draw(st.sampled_from(PORTS)),
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        opened=draw(st.sampled_from(["in", "out"])),
    )


@cache
def chains_of(mode: Mode) -> dict[str, list[list[dict[str, Any]]]]:
    """Chains by their hook, of a plan without a dead-man."""
    intent = IsolationIntent(
        incident_id="i", host_id="h", lifeline=(LIFELINE,), lease_seconds=60, ends="closed", mode=mode
    )
    chains = rules_by_chain(plan_isolation(observation({"eth0"}), intent))
    return {name.partition("_")[0]: rules for (_, name), rules in chains.items()}


@given(partial, sessions())
def test_rules_drop_exactly_the_sessions_that_the_mode_cuts(mode: Mode, session: Session) -> None:
    chains = chains_of(mode)
    outgoing = [verdict(chains["output"], packet) for packet in packets(session, outwards=True)]
    incoming = [verdict(chains["input"], packet) for packet in packets(session, outwards=False)]
    assert {*outgoing, *incoming} == {"drop" if cuts(mode, session) else "accept"}


@given(partial.filter(lambda mode: not isinstance(mode, EgressOnly)), sessions())
def test_what_passes_through_is_cut_as_the_predicate_says(mode: Mode, session: Session) -> None:
    assume(session.local != session.remote)
    back = Session(
        session.remote, session.remote_port, session.local, session.local_port, session.protocol, session.opened
    )
    forward = chains_of(mode)["forward"]
    seen = {verdict(forward, p) for way in (True, False) for p in packets(session, outwards=way)}
    assert seen == {"drop" if cuts_forwarded(mode, (session, back)) else "accept"}


@given(partial.filter(lambda mode: not isinstance(mode, EgressOnly)), sessions())
def test_a_device_lets_no_packet_out_that_the_mode_cuts(mode: Mode, session: Session) -> None:
    if cuts(mode, session) and not isinstance(mode, Isolate):
        assert {verdict(chains_of(mode)["egress"], p) for p in packets(session, outwards=True)} == {"drop"}
    if not cuts(mode, session):
        assert {verdict(chains_of(mode)["egress"], p) for p in packets(session, outwards=True)} == {"accept"}


@given(partial, sessions(), st.sampled_from(["input", "output", "forward", "egress"]), st.booleans())
def test_isolate_all_drops_at_least_what_any_mode_drops(
    mode: Mode, session: Session, hook: str, outwards: bool
) -> None:
    (packet,) = packets(session, outwards=outwards)
    if verdict(chains_of(mode).get(hook, []), packet) == "drop":
        assert verdict(chains_of(ISOLATE_ALL)[hook], packet) == "drop"


@given(partial)
def test_no_mode_cuts_the_lifeline(mode: Mode) -> None:
    chains = chains_of(mode)
    session = Session(V4[0], 40000, LIFELINE.address, LIFELINE.port, "tcp", "out")
    named = (BlockPeer(peers=(ip_network("192.0.2.0/24"),)), BlockPort(services=(Service(port=7233),)))
    for found in (chains, *(chains_of(other) for other in named)):
        assert {verdict(found["output"], p) for p in packets(session, outwards=True)} == {"accept"}
        assert {verdict(found["input"], p) for p in packets(session, outwards=False)} == {"accept"}
        assert {verdict(found.get("egress", []), p) for p in packets(session, outwards=True)} == {"accept"}


@pytest.mark.parametrize(("direction", "source", "destination"), [("out", 22, 40000), ("in", 40000, 22)])
def test_who_serves_an_allowed_port_opens_nothing_from_it(
    direction: Literal["in", "out"], source: int, destination: int
) -> None:
    reach = Reach(peers=NETWORKS[0], service=Service(port=22, direction=direction))
    chains = chains_of(Isolate(allow=(reach,)))
    outwards = direction == "in"
    ends = (V4[2], V4[0]) if outwards else (V4[0], V4[2])
    opening = Packet(ends[0], 22, ends[1], 40000, "tcp", "original", frozenset({"syn"}))
    assert verdict(chains["output" if outwards else "input"], opening) == "drop"


def test_egress_only_spares_what_was_addressed_to_the_host_before_it_was_sent_on() -> None:
    there = observation({"eth0"})
    own = there.interfaces[1].model_copy(update={"addresses": (V4[0],)})
    intent = IsolationIntent(
        incident_id="i", host_id="h", lifeline=(LIFELINE,), lease_seconds=60, ends="closed", mode=EgressOnly()
    )
    plan = plan_isolation(there.model_copy(update={"interfaces": (own,)}), intent)
    forward = next(rules for (_, name), rules in rules_by_chain(plan).items() if name.startswith("forward"))
    inwards = Packet(V4[3], 40000, V4[2], 80, "tcp", "original", original_destination=V4[0])
    outwards = Packet(V4[2], 40000, V4[3], 80, "tcp", "original", original_destination=V4[3])
    assert (verdict(forward, inwards), verdict(forward, outwards)) == ("accept", "drop")


@given(partial_intents, devices)
def test_a_plan_of_a_mode_that_stands_is_empty_and_of_another_is_not(
    intent: IsolationIntent, present: set[str]
) -> None:
    plan = plan_isolation(observation(present), intent)
    standing = in_force(plan, present)
    assert plan_isolation(standing, intent).empty
    assert not plan_isolation(standing, intent.model_copy(update={"mode": ISOLATE_ALL})).empty


def in_force(plan: HostChange, present: set[str]) -> HostObservation:
    chains = [body(c) for c in plan.commands if "chain" in c.get("add", {})]
    loaded = tuple(f"{c['family']} {c['table']} {c['name']} {c['hook']} -10" for c in chains)
    return observation(present, in_force=(plan.table,)).model_copy(update={"base_chains": loaded})


@given(partial_intents | intents, devices, st.booleans())
def test_every_table_of_a_plan_is_ours_renewed_and_deleted_by_the_inverse(
    intent: IsolationIntent, present: set[str], bridged: bool
) -> None:
    there = observation(present).model_copy(update={"bridges": ("br0",) if bridged else ()})
    plan = plan_isolation(there, intent)
    added = {body(c)["family"] for c in plan.commands}
    assert {table_of(c) for c in (*plan.commands, *plan.undo)} == {table_name(intent.incident_id)}
    assert {body(c)["family"] for c in plan.inverse().commands if "delete" in c} == added
    assert ("bridge" in added) == (bridged and intent.mode == ISOLATE_ALL)
    armed = {(c["family"], c["table"]) for c in map(body, plan.commands) if c.get("name") == "armed"}
    assert {(c["family"], c["table"]) for c in map(body, renewal(plan, 5))} == armed


@given(partial_intents | intents, devices.filter(bool), devices)
def test_refitting_is_planning_for_the_devices_of_now(
    intent: IsolationIntent, before: set[str], after: set[str]
) -> None:
    there, then = (observation(p).model_copy(update={"bridges": ("br0",)}) for p in (before, after))
    refitted, planned = refit(plan_isolation(there, intent), after), plan_isolation(then, intent)
    assert (refitted.commands, refitted.undo, refitted.devices) == (planned.commands, planned.undo, planned.devices)


@given(partial_intents)
def test_a_mode_survives_its_document_and_changes_the_hash(intent: IsolationIntent) -> None:
    assert IsolationIntent.model_validate_json(intent.model_dump_json()) == intent
    whole = intent.model_copy(update={"mode": ISOLATE_ALL})
    plans = [plan_isolation(observation({"eth0"}), i) for i in (intent, whole)]
    assert plans[0].plan_hash != plans[1].plan_hash


def test_isolate_all_leaves_no_trace_in_documents_that_were_without_modes() -> None:
    intent = IsolationIntent(incident_id="i", host_id="h", lifeline=(LIFELINE,), lease_seconds=60, ends="open")
    assert "mode" not in intent.model_dump(mode="json")
    assert "mode" not in ContainSpec().model_dump(mode="json")
    assert "bridges" not in observation({"eth0"}).model_dump(mode="json")
    plan = plan_isolation(observation({"eth0"}), intent)
    # As it was recorded before there were modes.
    assert plan.plan_hash == "sha256:8b9368aad7e69536c72e3dcd1309a14c20fdcae351dafd3d57dbe52b450af19f"


def test_an_alerted_peer_is_the_destination_or_else_everything() -> None:
    spec = TypeAdapter(ContainSpec).validate_python({"mode": {"kind": "block-alerted-peer"}}).mode
    assert isinstance(spec, BlockAlertedPeer)
    both = BlockPeer(peers=(ip_network("10.0.0.2/32"), ip_network("fd00:1::2/128")))
    assert for_alert(spec, (V4[1], V6[1]), (V4[0],)) == both
    assert for_alert(spec, (), ()) == ISOLATE_ALL
    assert for_alert(spec, (V4[0],), (V4[0],)) == ISOLATE_ALL
    assert for_alert(EgressOnly(), (V4[0],), ()) == EgressOnly()


@given(partial, sessions())
def test_silence_is_expected_only_where_every_session_is_cut(mode: Mode, session: Session) -> None:
    if silences(mode, session.remote):
        assert cuts(mode, session)
