"""Gates and decisions: where people decide, bound to the hash of what they saw. Pure.

Owns the rules by which a decision is accepted or refused, and what a deadline does: deny, proceed, or ask others.
Never knows how a decision arrived or who authenticated it.

    check_decision(gate, decision, now)   # raises DecisionRefused with its reason
    outcome(gate, now)                    # -> "approved" | "denied" | None while open
    escalated(gate, now)                  # -> the gate as it asks others from its deadline on, or None
"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Name

Role = Literal["viewer", "responder", "approver", "admin", "break-glass"]
Verdict = Literal["approve", "deny"]
PlanHash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Outcome = Literal["approved", "denied"]


class DecisionRefused(FirebreakError):
    """A decision that does not count, with the reason."""

    code: ClassVar[str] = "decision-refused"


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: tuple[object, ...]) -> bool:
    return not value


class Escalation(Frozen):
    """Whom a gate asks once those it asked first have let its deadline pass."""

    quorum: int = Field(default=1, ge=1, le=10, description="Approvals by different people that open the gate.")
    roles: tuple[Role, ...] = Field(default=("admin",), min_length=1, description="Who may decide from then on.")
    deadline_seconds: int = Field(default=3600, ge=1, le=7 * 86400, description="Counted from the first deadline.")
    on_deadline: Literal["deny", "proceed"] = Field(default="deny", description="What their silence means.")


class GateSpec(Frozen):
    """A gate as a playbook words it."""

    quorum: int = Field(default=1, ge=1, le=10, description="Approvals by different people that open the gate.")
    roles: tuple[Role, ...] = Field(default=("approver",), min_length=1, description="Who may decide.")
    deadline_seconds: int = Field(default=3600, ge=1, le=7 * 86400)
    on_deadline: Literal["deny", "proceed", "escalate"] = Field(default="deny", description="What silence means.")
    # Left out where there is none, so that what was recorded before there were escalations still reads the same.
    escalation: Escalation | None = Field(
        default=None, exclude_if=_is_none, description="Who is asked next; with `on_deadline: escalate` alone."
    )

    @model_validator(mode="after")
    def _escalates_to_somebody(self) -> Self:
        if self.on_deadline == "escalate" and self.escalation is None:
            raise PydanticCustomError("escalation_missing", "an escalation, as on_deadline is escalate")
        if self.on_deadline != "escalate" and self.escalation is not None:
            raise PydanticCustomError("escalation_unused", "on_deadline: escalate, as there is an escalation")
        return self

    @property
    def proceeds(self) -> bool:
        """Whether silence alone can open this gate, at once or after an escalation."""
        last = self.escalation or self
        return last.on_deadline == "proceed"

    @property
    def answered_by_people_alone(self) -> "GateSpec":
        """The same gate, except that nobody's silence opens it."""
        if not self.proceeds:
            return self
        if self.escalation is None:
            return self.model_copy(update={"on_deadline": "deny"})
        return self.model_copy(update={"escalation": self.escalation.model_copy(update={"on_deadline": "deny"})})


class Decision(Frozen):
    """What one person decided; `actor` and `roles` come from authentication, never from the request's body."""

    gate_id: Name
    plan_hash: PlanHash
    verdict: Verdict
    actor: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    roles: tuple[Role, ...]
    reason: Annotated[str, StringConstraints(max_length=2000)] = ""


class Gate(Frozen):
    """An open question to people: the plan, its hash, who may answer and until when."""

    gate_id: Name
    incident_id: Name
    question: str
    plan_hash: PlanHash
    plan: tuple[str, ...] = Field(description="The plan in words, exactly what the hash covers in full form.")
    spec: GateSpec
    requested_by: str
    opened_at: datetime
    decisions: tuple[Decision, ...] = ()
    escalated_at: datetime | None = Field(
        default=None, exclude_if=_is_none, description="Since when it asks whom the escalation names."
    )
    earlier: tuple[Decision, ...] = Field(
        default=(), exclude_if=_is_empty, description="Decided before the escalation: kept, counted no more."
    )

    @property
    def deadline(self) -> datetime:
        """When silence becomes an answer, or the question goes to others."""
        return (self.escalated_at or self.opened_at) + timedelta(seconds=self.spec.deadline_seconds)


def check_decision(gate: Gate, decision: Decision, now: datetime) -> None:
    """Refuse a decision that is late, of another plan, by the wrong person, or given twice.

    Raises:
        DecisionRefused: with the reason and what to do.
    """
    _check_open(gate, now)
    if decision.plan_hash != gate.plan_hash:
        raise DecisionRefused(
            f"The decision is for plan {decision.plan_hash}, the gate asks about {gate.plan_hash}.",
            hint="Read the current plan and decide on its hash.",
        )
    if not set(decision.roles) & set(gate.spec.roles):
        raise DecisionRefused(
            f"{decision.actor} has the roles {', '.join(decision.roles) or 'none'}; "
            f"the gate takes {', '.join(gate.spec.roles)}.",
            hint="Ask somebody with one of these roles.",
        )
    if breaks_glass(gate, decision) and not decision.reason.strip():
        raise DecisionRefused(
            f"{decision.actor} breaks the glass on {gate.gate_id} without a written reason.",
            hint="Write down why it can't wait for the regular way: everybody will read it.",
        )
    # Whatever the role: break-glass stands in for the others, not for the second pair of eyes.
    if decision.actor == gate.requested_by:
        raise DecisionRefused(
            f"{decision.actor} requested this change and can't decide on it.", hint="Ask a second person."
        )
    if any(earlier.actor == decision.actor for earlier in gate.decisions):
        raise DecisionRefused(
            f"{decision.actor} has decided on {gate.gate_id} already.", hint="A quorum is of different people."
        )


def _check_open(gate: Gate, now: datetime) -> None:
    if outcome(gate, now) is not None or (now >= gate.deadline and gate.spec.escalation is None):
        raise DecisionRefused(
            f"Gate {gate.gate_id} is closed since {gate.deadline:%Y-%m-%d %H:%M:%S} UTC or by quorum.",
            hint="Look at the incident: the outcome is in its timeline.",
        )
    if now >= gate.deadline:
        raise DecisionRefused(
            f"Gate {gate.gate_id} is being escalated since {gate.deadline:%Y-%m-%d %H:%M:%S} UTC.",
            hint="Look at the incident: it says who may decide now.",
        )


def breaks_glass(gate: Gate, decision: Decision) -> bool:
    """Whether nothing but break-glass entitles this decision."""
    return set(decision.roles) & set(gate.spec.roles) == {"break-glass"}


def outcome(gate: Gate, now: datetime) -> Outcome | None:
    """Approved by quorum, denied by any one denial, or what the deadline says; None while still open.

    A gate that escalates stays open at its deadline: `escalated` says what it becomes.
    """
    if any(d.verdict == "deny" for d in gate.decisions):
        return "denied"
    if len(gate.decisions) >= gate.spec.quorum:
        return "approved"
    if now >= gate.deadline and gate.spec.on_deadline != "escalate":
        return "approved" if gate.spec.on_deadline == "proceed" else "denied"
    return None


def approved_by_silence(gate: Gate, now: datetime) -> bool:
    """Whether it is open although no quorum approved: its deadline has passed, and it says `proceed`."""
    return outcome(gate, now) == "approved" and len(gate.decisions) < gate.spec.quorum


def escalated(gate: Gate, now: datetime) -> Gate | None:
    """The gate as it asks others, from its deadline on; None if it does not (yet) escalate.

    They are asked anew: what was decided before is kept in `earlier` and counts no more, since a quorum of the one
    group is none of the other. Who belongs to both decides again. A denial never comes here: it has ended the gate.
    """
    higher = gate.spec.escalation
    if higher is None or now < gate.deadline or outcome(gate, now) is not None:
        return None
    asked = f"{len(gate.decisions)} of {gate.spec.quorum} approvals by {', '.join(gate.spec.roles)}"
    question = f"{gate.question} Escalated: {asked} came within {gate.spec.deadline_seconds} s."
    return gate.model_copy(
        update={
            "question": question,
            "spec": GateSpec(**higher.model_dump()),
            "escalated_at": gate.deadline,
            "earlier": gate.decisions,
            "decisions": (),
        }
    )


def closed_to_silence(gate: Gate) -> Gate:
    """The same gate, opened by people alone: what was to happen by itself is not to happen."""
    return gate.model_copy(update={"spec": gate.spec.answered_by_people_alone})
