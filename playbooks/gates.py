"""Gates and decisions: where people decide, bound to the hash of what they saw. Pure.

Owns the rules by which a decision is accepted or refused, and what a deadline does. Never knows how a decision
arrived or who authenticated it.

    check_decision(gate, decision, now)   # raises DecisionRefused with its reason
    outcome(gate, now)                    # -> "approved" | "denied" | None while open
"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Name

Role = Literal["viewer", "responder", "approver", "admin", "break-glass"]
Verdict = Literal["approve", "deny"]
PlanHash = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Outcome = Literal["approved", "denied"]


class DecisionRefused(FirebreakError):
    """A decision that does not count, with the reason."""

    code: ClassVar[str] = "decision-refused"


class GateSpec(Frozen):
    """A gate as a playbook words it."""

    quorum: int = Field(default=1, ge=1, le=10, description="Approvals by different people that open the gate.")
    roles: tuple[Role, ...] = Field(default=("approver",), min_length=1, description="Who may decide.")
    deadline_seconds: int = Field(default=3600, ge=1, le=7 * 86400)
    on_deadline: Literal["deny", "proceed"] = Field(default="deny", description="What silence means.")


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

    @property
    def deadline(self) -> datetime:
        """When silence becomes an answer."""
        return self.opened_at + timedelta(seconds=self.spec.deadline_seconds)


def check_decision(gate: Gate, decision: Decision, now: datetime) -> None:
    """Refuse a decision that is late, of another plan, by the wrong person, or given twice.

    Raises:
        DecisionRefused: with the reason and what to do.
    """
    if outcome(gate, now) is not None or now >= gate.deadline:
        raise DecisionRefused(
            f"Gate {gate.gate_id} is closed since {gate.deadline:%Y-%m-%d %H:%M:%S} UTC or by quorum.",
            hint="Look at the incident: the outcome is in its timeline.",
        )
    if decision.plan_hash != gate.plan_hash:
        raise DecisionRefused(
            f"The decision is for plan {decision.plan_hash}, the gate asks about {gate.plan_hash}.",
            hint="Read the current plan and decide on its hash.",
        )
    entitling = set(decision.roles) & set(gate.spec.roles)
    if not entitling:
        raise DecisionRefused(
            f"{decision.actor} has the roles {', '.join(decision.roles) or 'none'}; "
            f"the gate takes {', '.join(gate.spec.roles)}.",
            hint="Ask somebody with one of these roles.",
        )
    if entitling == {"break-glass"} and not decision.reason.strip():
        raise DecisionRefused(
            f"{decision.actor} breaks the glass on {gate.gate_id} without a written reason.",
            hint="Write down why it can't wait for the regular way: everybody will read it.",
        )
    if decision.actor == gate.requested_by:
        raise DecisionRefused(
            f"{decision.actor} requested this change and can't decide on it.", hint="Ask a second person."
        )
    if any(earlier.actor == decision.actor for earlier in gate.decisions):
        raise DecisionRefused(
            f"{decision.actor} has decided on {gate.gate_id} already.", hint="A quorum is of different people."
        )


def outcome(gate: Gate, now: datetime) -> Outcome | None:
    """Approved by quorum, denied by any one denial, or what the deadline says; None while still open."""
    if any(d.verdict == "deny" for d in gate.decisions):
        return "denied"
    if len(gate.decisions) >= gate.spec.quorum:
        return "approved"
    if now >= gate.deadline:
        return "approved" if gate.spec.on_deadline == "proceed" else "denied"
    return None
