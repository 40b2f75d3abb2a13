"""Triage: what may be contained at once, and what waits for people."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.gates import GateSpec
from playbooks.playbook import Playbook
from playbooks.safeguards import Protected, Safeguards, protection
from playbooks.triage import BREAK_GLASS, PEOPLE, Route, choose_route
from segmentation.workloads import Workload

OWN_GATE = GateSpec(quorum=2, roles=("admin",), deadline_seconds=900)


def playbook(**contain: Any) -> Playbook:
    return Playbook.model_validate({"name": "p", "title": "A playbook", "match": {"rules": ["*"]}, "contain": contain})


def workload(**labels: str) -> Workload:
    return Workload(workload_id="w1", name="web", labels=labels)


def route(
    given_playbook: Playbook,
    target: Workload | None = None,
    *,
    targets: int = 1,
    signed: bool = True,
    corroborated: bool | None = None,
    **restraining: Any,
) -> Route:
    chosen = target or workload()
    asked: dict[str, Any] = {"targets": targets, "signed": signed, "corroborated": corroborated}
    return choose_route(given_playbook, chosen, **asked, **restraining)


def test_a_signed_alert_about_one_target_is_contained_at_once() -> None:
    assert route(playbook()).way == "at-once"


def test_an_unsigned_alert_is_corroborated_first() -> None:
    found = route(playbook(), signed=False)

    assert (found.way, found.gate) == ("corroborate-first", PEOPLE)


@pytest.mark.parametrize(("corroborated", "way"), [(True, "at-once"), (False, "people-decide")])
def test_what_the_siem_says_decides_on_an_unsigned_alert(corroborated: bool, way: str) -> None:
    assert route(playbook(), signed=False, corroborated=corroborated).way == way


def test_a_playbook_may_want_corroboration_of_signed_alerts_too() -> None:
    assert route(playbook(corroborate=True)).way == "corroborate-first"
    assert route(playbook(corroborate=True), corroborated=True).way == "at-once"
    assert route(playbook(corroborate=True), corroborated=False).way == "people-decide"


def test_a_gate_of_the_playbook_is_asked_whoever_alerted() -> None:
    found = route(playbook(gate=OWN_GATE.model_dump()), corroborated=True)

    assert (found.way, found.gate) == ("people-decide", OWN_GATE)


def test_more_targets_than_the_limit_are_for_people_to_decide() -> None:
    assert route(playbook(max_targets=2), targets=2).way == "at-once"
    found = route(playbook(max_targets=2), targets=3)

    assert (found.way, found.gate) == ("people-decide", PEOPLE)
    assert found.reason == "3 targets are more than the playbook's limit of 2"
    assert route(playbook(gate=OWN_GATE.model_dump()), targets=3).gate == OWN_GATE


def test_a_protected_target_takes_break_glass_whatever_else_holds() -> None:
    guarded = playbook(protected={"role": ["dns", "identity"]}, gate=OWN_GATE.model_dump())
    found = route(guarded, workload(role="dns"), corroborated=True)

    assert (found.way, found.gate) == ("people-decide", BREAK_GLASS)
    assert found.reason == "web is protected (role=dns)"


def test_what_the_site_protects_takes_break_glass_under_every_playbook() -> None:
    site = Safeguards(protected=Protected(names=("we*",)))
    found = route(playbook(gate=OWN_GATE.model_dump()), corroborated=True, safeguards=site, restraint="stopped")

    assert (found.way, found.gate) == ("people-decide", BREAK_GLASS)
    assert found.reason == "web is protected (web matches we*)"
    assert not found.may_be_automatic


@pytest.mark.parametrize("given_gate", [None, OWN_GATE])
def test_under_a_restraint_people_decide_for_its_reason(given_gate: GateSpec | None) -> None:
    dumped = given_gate.model_dump() if given_gate else None
    found = route(playbook(gate=dumped), corroborated=True, restraint="the global stop is on")

    assert (found.way, found.gate, found.reason) == ("people-decide", given_gate or PEOPLE, "the global stop is on")


@pytest.mark.parametrize(
    "silence",
    [
        {"on_deadline": "proceed"},
        {"on_deadline": "escalate", "escalation": {"roles": ["admin"], "on_deadline": "proceed"}},
    ],
)
def test_under_a_restraint_silence_opens_no_gate(silence: dict[str, Any]) -> None:
    lenient = playbook(gate={"roles": ["approver"], **silence})
    assert route(lenient).may_be_automatic

    found = route(lenient, restraint="the global stop is on")

    assert found.gate is not None
    assert not found.gate.proceeds
    assert not found.may_be_automatic
    assert found.gate.roles == ("approver",)


def test_what_people_alone_decide_can_not_come_to_be_automatic() -> None:
    assert route(playbook()).may_be_automatic
    assert route(playbook(), signed=False).may_be_automatic
    assert not route(playbook(gate=OWN_GATE.model_dump())).may_be_automatic
    assert not route(playbook(protected={"role": ["dns"]}), workload(role="dns")).may_be_automatic


playbooks = st.builds(
    lambda gate, corroborate, limit, protected: playbook(
        gate=gate.model_dump() if gate else None,
        corroborate=corroborate,
        max_targets=limit,
        protected={"role": protected} if protected else {},
    ),
    st.one_of(st.none(), st.just(OWN_GATE)),
    st.booleans(),
    st.integers(1, 3),
    st.lists(st.sampled_from(["dns", "web"]), unique=True),
)


@given(
    given_playbook=playbooks,
    role=st.sampled_from(["dns", "web", "db"]),
    targets=st.integers(1, 4),
    signed=st.booleans(),
    corroborated=st.sampled_from([True, False, None]),
    restraint=st.sampled_from(["", "", "stopped"]),
)
def test_at_once_is_only_what_nothing_speaks_against(
    given_playbook: Playbook, role: str, targets: int, signed: bool, corroborated: bool | None, restraint: str
) -> None:
    target = workload(role=role)
    asked: dict[str, Any] = {"targets": targets, "signed": signed, "corroborated": corroborated}
    found = route(given_playbook, target, **asked, restraint=restraint)
    contain = given_playbook.contain

    if found.way == "at-once":
        assert contain.gate is None
        assert targets <= contain.max_targets
        assert not protection(Safeguards(), given_playbook.contain, target)
        assert not restraint
        assert corroborated or (signed and not contain.corroborate)
    else:
        assert found.gate is not None
    assert found.reason
