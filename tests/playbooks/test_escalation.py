"""Escalation: whom a gate asks when those it asked first let its deadline pass."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from playbooks.gates import (
    DecisionRefused,
    Escalation,
    Gate,
    GateSpec,
    approved_by_silence,
    breaks_glass,
    check_decision,
    closed_to_silence,
    escalated,
    outcome,
)
from playbooks.loading import PlaybookInvalid, load_playbook
from tests.playbooks.test_gates import OPENED, ROLES, decision, decisions, gate, later, refusal

HIGHER = Escalation(roles=("admin",), quorum=1, deadline_seconds=60)
SPEC = GateSpec(quorum=2, roles=("approver",), deadline_seconds=100, on_deadline="escalate", escalation=HIGHER)
ADMIN: dict[str, Any] = {"roles": ("viewer", "responder", "approver", "admin")}


def at_deadline(*taken: Any, spec: GateSpec = SPEC) -> Gate:
    higher = escalated(gate(spec, *taken), later(100))
    assert higher is not None
    return higher


def test_a_gate_escalates_at_its_deadline_and_not_before() -> None:
    assert escalated(gate(SPEC), later(99.999)) is None
    assert outcome(gate(SPEC), later(10**6)) is None
    assert at_deadline().spec == GateSpec(roles=("admin",), quorum=1, deadline_seconds=60, on_deadline="deny")


def test_a_gate_without_an_escalation_never_becomes_another() -> None:
    assert escalated(gate(GateSpec(deadline_seconds=100)), later(200)) is None
    assert escalated(at_deadline(), later(1000)) is None  # once is all


def test_a_gate_that_was_answered_in_time_does_not_escalate() -> None:
    approved = gate(SPEC, decision("ana"), decision("ben"))
    denied = gate(SPEC, decision("ana", verdict="deny"))

    assert escalated(approved, later(100)) is None
    assert escalated(denied, later(100)) is None
    assert (outcome(approved, later(100)), outcome(denied, later(100))) == ("approved", "denied")


def test_the_deadline_counts_from_the_first_one() -> None:
    higher = at_deadline()

    assert higher.escalated_at == later(100)
    assert higher.opened_at == OPENED
    assert higher.deadline == later(160)
    assert outcome(higher, later(159.999)) is None
    assert outcome(higher, later(160)) == "denied"


def test_silence_after_an_escalation_means_what_the_escalation_says() -> None:
    lenient = SPEC.model_copy(update={"escalation": HIGHER.model_copy(update={"on_deadline": "proceed"})})
    higher = at_deadline(spec=lenient)

    assert outcome(higher, later(160)) == "approved"
    assert approved_by_silence(higher, later(160))


def test_whoever_is_asked_next_is_asked_anew() -> None:
    higher = at_deadline(decision("ana", **ADMIN))

    assert (higher.decisions, [made.actor for made in higher.earlier]) == ((), ["ana"])
    assert outcome(higher, later(101)) is None
    check_decision(higher, decision("ana", **ADMIN), later(101))


def test_the_roles_of_before_entitle_no_more() -> None:
    assert "the gate takes admin" in refusal(at_deadline(), decision("ana"), 101)


def test_between_deadline_and_escalation_nobody_is_heard() -> None:
    assert "is being escalated since 2031-05-01 12:01:40" in refusal(gate(SPEC), decision("ana"), 100)


def test_the_question_says_that_it_was_escalated_and_how_far_it_had_come() -> None:
    assert at_deadline(decision("ana")).question == (
        "Isolate web? Escalated: 1 of 2 approvals by approver came within 100 s."
    )


def test_the_plan_and_its_hash_are_those_that_were_asked_about() -> None:
    before, after = gate(SPEC), at_deadline()

    assert (after.plan_hash, after.plan, after.requested_by) == (before.plan_hash, before.plan, before.requested_by)


def test_a_gate_that_was_recorded_before_there_were_escalations_reads_the_same() -> None:
    dumped = gate(GateSpec(), decision()).model_dump(mode="json")

    assert not {"escalated_at", "earlier"} & set(dumped)
    assert "escalation" not in dumped["spec"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"on_deadline": "escalate"}, "expected an escalation, as on_deadline is escalate"),
        ({"escalation": {"roles": ["admin"]}}, "expected on_deadline: escalate, as there is an escalation"),
        (
            {"on_deadline": "escalate", "escalation": {"on_deadline": "escalate"}},
            "contain.gate.escalation.on_deadline: expected deny or proceed",
        ),
        ({"on_deadline": "escalate", "escalation": {"rolse": []}}, "did you mean roles?"),
    ],
)
def test_an_escalation_to_nobody_is_no_gate(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError):
        GateSpec.model_validate(broken)
    text = f"name: p\ntitle: P\nmatch: {{rules: ['*']}}\ncontain: {{gate: {broken}}}\n"
    with pytest.raises(PlaybookInvalid) as refused:
        load_playbook(text, "p.yaml")
    assert said in refused.value.summary


def test_closed_to_silence_a_gate_opens_for_people_alone() -> None:
    lenient = gate(GateSpec(deadline_seconds=100, on_deadline="proceed"))
    assert approved_by_silence(lenient, later(100))

    closed = closed_to_silence(lenient)

    assert outcome(closed, later(100)) == "denied"
    check_decision(closed, decision(), later(99))
    assert not approved_by_silence(gate(GateSpec(on_deadline="proceed"), decision()), later(10**6))


def test_only_who_has_no_other_role_of_the_gate_breaks_the_glass() -> None:
    both = gate(GateSpec(roles=("approver", "break-glass")))

    assert breaks_glass(both, decision(roles=("viewer", "break-glass")))
    assert not breaks_glass(both, decision(roles=("approver", "break-glass")))
    assert not breaks_glass(gate(), decision(roles=("approver", "break-glass")))


def test_break_glass_does_not_let_anybody_decide_on_what_they_requested() -> None:
    glass = gate(GateSpec(roles=("break-glass",)))
    own = decision("playbook", roles=("break-glass",), reason="it can't wait")

    assert refusal(glass, own) == "playbook requested this change and can't decide on it."


@given(quorum=st.integers(2, 4), actors=st.lists(st.sampled_from(["ana", "ben", "cleo", "dan"]), max_size=12))
def test_a_quorum_takes_that_many_different_people_however_often_they_say_it(quorum: int, actors: list[str]) -> None:
    asked = gate(GateSpec(quorum=quorum))
    for actor in actors:
        try:
            check_decision(asked, decision(actor), later(1))
        except DecisionRefused:
            continue
        asked = asked.model_copy(update={"decisions": (*asked.decisions, decision(actor))})

    assert (outcome(asked, later(1)) == "approved") == (len(set(actors)) >= quorum)


@given(
    taken=st.lists(decisions.filter(lambda made: made.verdict == "approve"), max_size=1),
    made=decisions,
    seconds=st.integers(100, 200),
)
def test_after_an_escalation_only_those_it_names_can_open_the_gate(taken: list[Any], made: Any, seconds: int) -> None:
    higher, now = at_deadline(*taken), OPENED + timedelta(seconds=seconds)
    powerless = made.model_copy(update={"roles": tuple(role for role in ROLES if role != "admin")})

    with pytest.raises(DecisionRefused):
        check_decision(higher, powerless, now)
    assert outcome(higher, now) != "approved"
