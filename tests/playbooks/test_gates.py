"""Gates: whose decision counts, and that an outcome is final."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from playbooks.gates import Decision, DecisionRefused, Gate, GateSpec, Outcome, Role, check_decision, outcome

OPENED = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
PLAN = "sha256:" + "0" * 64
OTHER_PLAN = "sha256:" + "1" * 64
ROLES: tuple[Role, ...] = ("viewer", "responder", "approver", "admin", "break-glass")

roles = st.lists(st.sampled_from(ROLES), unique=True).map(tuple)
specs = st.builds(
    GateSpec,
    quorum=st.integers(1, 4),
    roles=roles.filter(bool),
    deadline_seconds=st.integers(1, 600),
    on_deadline=st.sampled_from(["deny", "proceed"]),
)
decisions = st.builds(
    Decision,
    gate_id=st.just("contain.web"),
    plan_hash=st.sampled_from([PLAN, PLAN, PLAN, OTHER_PLAN]),
    verdict=st.sampled_from(["approve", "approve", "deny"]),
    actor=st.sampled_from(["ana", "ben", "cleo", "dan", "playbook"]),
    roles=roles,
    reason=st.sampled_from(["", "  ", "seen"]),
)
# Seconds that pass before each decision, so that sequences cross the deadline.
sequences = st.lists(st.tuples(st.integers(0, 300), decisions), max_size=12)


def gate(spec: GateSpec | None = None, *taken: Decision) -> Gate:
    return Gate(
        gate_id="contain.web",
        incident_id="inc",
        question="Isolate web?",
        plan_hash=PLAN,
        plan=("drop everything",),
        spec=spec or GateSpec(),
        requested_by="playbook",
        opened_at=OPENED,
        decisions=taken,
    )


def decision(actor: str = "ana", **changes: object) -> Decision:
    plain: dict[str, object] = {
        "gate_id": "contain.web",
        "plan_hash": PLAN,
        "verdict": "approve",
        "actor": actor,
        "roles": ("approver",),
    }
    return Decision.model_validate(plain | changes)


def later(seconds: float) -> datetime:
    return OPENED + timedelta(seconds=seconds)


def refusal(given_gate: Gate, given_decision: Decision, seconds: float = 1) -> str:
    with pytest.raises(DecisionRefused) as caught:
        check_decision(given_gate, given_decision, later(seconds))
    assert caught.value.hint
    return caught.value.summary


def test_a_decision_on_the_plan_by_somebody_entitled_counts() -> None:
    check_decision(gate(), decision(), later(1))


def test_a_decision_on_another_plan_is_refused() -> None:
    assert OTHER_PLAN in refusal(gate(), decision(plan_hash=OTHER_PLAN))


def test_a_decision_without_an_entitling_role_is_refused() -> None:
    said = refusal(gate(), decision(roles=("viewer", "responder")))
    assert said == "ana has the roles viewer, responder; the gate takes approver."
    assert "has the roles none" in refusal(gate(), decision(roles=()))


def test_a_decision_by_whoever_requested_the_change_is_refused() -> None:
    assert "requested this change" in refusal(gate(), decision("playbook"))


def test_a_second_decision_by_the_same_person_is_refused() -> None:
    asked = gate(GateSpec(quorum=2), decision())

    assert refusal(asked, decision()) == "ana has decided on contain.web already."
    assert refusal(asked, decision(verdict="deny")) == "ana has decided on contain.web already."


@pytest.mark.parametrize("seconds", [3600, 3601, 10**6])
def test_a_decision_from_the_deadline_on_is_refused(seconds: int) -> None:
    assert "is closed" in refusal(gate(), decision(), seconds)


def test_a_decision_after_the_quorum_is_refused() -> None:
    assert "is closed" in refusal(gate(None, decision()), decision("ben", verdict="deny"))


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_break_glass_needs_a_written_reason(reason: str) -> None:
    glass = gate(GateSpec(roles=("break-glass",)))

    said = refusal(glass, decision(roles=("break-glass",), reason=reason))
    assert said == "ana breaks the glass on contain.web without a written reason."
    check_decision(glass, decision(roles=("break-glass",), reason="the payroll is leaving"), later(1))


def test_who_is_entitled_otherwise_needs_no_reason_for_having_the_glass_too() -> None:
    both = gate(GateSpec(roles=("approver", "break-glass")))

    check_decision(both, decision(roles=("approver", "break-glass")), later(1))


def test_a_gate_opens_with_its_quorum_and_not_before() -> None:
    spec = GateSpec(quorum=2)

    assert outcome(gate(spec, decision("ana")), later(1)) is None
    assert outcome(gate(spec, decision("ana"), decision("ben")), later(1)) == "approved"


def test_one_denial_outweighs_every_approval() -> None:
    taken = (decision("ana"), decision("ben", verdict="deny"))

    assert outcome(gate(GateSpec(quorum=2), *taken), later(1)) == "denied"


@pytest.mark.parametrize(("on_deadline", "expected"), [("deny", "denied"), ("proceed", "approved")])
def test_silence_means_what_the_gate_says(on_deadline: str, expected: Outcome) -> None:
    asked = gate(GateSpec.model_validate({"deadline_seconds": 10, "on_deadline": on_deadline}))

    assert outcome(asked, later(9.999)) is None
    assert outcome(asked, later(10)) == expected


@pytest.mark.parametrize(
    "broken",
    [{"quorum": 0}, {"roles": ()}, {"roles": ("root",)}, {"deadline_seconds": 0}, {"on_deadline": "shrug"}],
)
def test_a_gate_that_anybody_could_pass_is_no_gate(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GateSpec.model_validate(broken)


def play(spec: GateSpec, sequence: list[tuple[int, Decision]]) -> list[tuple[datetime, Gate]]:
    """The gate after each decision that counted, with the moment at which it was looked at."""
    asked, now = gate(spec), OPENED
    told = [(now, asked)]
    for seconds, made in sequence:
        now += timedelta(seconds=seconds)
        try:
            check_decision(asked, made, now)
        except DecisionRefused:
            pass
        else:
            asked = asked.model_copy(update={"decisions": (*asked.decisions, made)})
        told.append((now, asked))
    return told


@given(spec=specs, sequence=sequences, wait=st.integers(0, 10**6))
def test_an_outcome_never_changes_once_there_is_one(
    spec: GateSpec, sequence: list[tuple[int, Decision]], wait: int
) -> None:
    told = play(spec, sequence)
    told.append((told[-1][0] + timedelta(seconds=wait), told[-1][1]))
    outcomes = [outcome(asked, now) for now, asked in told]

    decided = [o for o in outcomes if o is not None]
    assert len(set(decided)) <= 1
    assert outcomes == [None] * (len(outcomes) - len(decided)) + decided


@given(spec=specs, sequence=sequences)
def test_whatever_counted_was_by_somebody_entitled_once_on_this_plan_and_in_time(
    spec: GateSpec, sequence: list[tuple[int, Decision]]
) -> None:
    counted = play(spec, sequence)[-1][1].decisions

    assert all(set(made.roles) & set(spec.roles) for made in counted)
    assert all(made.plan_hash == PLAN and made.actor != "playbook" for made in counted)
    assert len({made.actor for made in counted}) == len(counted) <= spec.quorum


@given(spec=specs, sequence=sequences)
def test_nothing_is_approved_before_the_deadline_without_a_quorum_of_the_entitled(
    spec: GateSpec, sequence: list[tuple[int, Decision]]
) -> None:
    now, asked = play(spec, sequence)[-1]
    if now < asked.deadline and outcome(asked, now) == "approved":
        approvers = {m.actor for m in asked.decisions if m.verdict == "approve" and set(m.roles) & set(spec.roles)}
        assert len(approvers) >= spec.quorum


@given(spec=specs, made=decisions)
def test_no_decision_of_an_unauthorised_role_ever_counts(spec: GateSpec, made: Decision) -> None:
    others = tuple(role for role in ROLES if role not in spec.roles)
    powerless = made.model_copy(update={"roles": others})

    with pytest.raises(DecisionRefused):
        check_decision(gate(spec), powerless, later(0))
