"""What people are asked about one target: whether to contain it, and what becomes of what somebody changed meanwhile.

outcome = await self.ask(contain_gate(start, planned, question=1))
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.response import ContainStart, Planned
    from playbooks.canonical import digest
    from playbooks.gates import Gate
    from playbooks.triage import BREAK_GLASS, PEOPLE
    from segmentation.workloads import Workload

# An id has 253 characters at most, verb and number among them.
LONGEST = 220


def contain_gate(start: ContainStart, planned: Planned, question: int, protected: str = "") -> Gate:
    """Whether to contain the target by this very plan; asked again where the plan did not fit any more.

    `protected`: why it takes breaking the glass, whatever gate it began with.
    """
    words = start.question or f"Isolate {start.target.name}?"
    return Gate(
        gate_id=gate_id("contain", start.target, question),
        incident_id=start.incident_id,
        question=f"{words} It is protected ({protected})." if protected and "protected" not in words else words,
        plan_hash=planned.change.plan_hash,
        plan=planned.change.summary,
        spec=BREAK_GLASS if protected else start.gate or PEOPLE,
        requested_by=start.requested_by,
        opened_at=workflow.now(),
    )


def drift_gate(start: ContainStart, ours: tuple[str, ...], question: int) -> Gate:
    """What becomes of settings of ours that somebody else has changed: set back, or left as they are now."""
    return Gate(
        gate_id=gate_id("release", start.target, question),
        incident_id=start.incident_id,
        question=f"Set back what somebody changed on {start.target.name} meanwhile? No leaves it as it is now.",
        plan_hash=digest({"target": start.target.workload_id, "drift": list(ours)}),
        plan=ours,
        spec=PEOPLE,
        requested_by=start.requested_by,
        opened_at=workflow.now(),
    )


def gate_id(verb: str, target: Workload, question: int) -> str:
    """Of this target alone: pods of one name may be in two namespaces, and a host's name may be as long as an id."""
    whom = target.name if target.kind == "host" else target.workload_id
    whom = whom if len(whom) <= LONGEST else digest([whom]).removeprefix("sha256:")
    return f"{verb}.{whom}" + (f".{question}" if question > 1 else "")
