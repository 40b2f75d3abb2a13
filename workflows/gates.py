"""Gates inside a workflow: asking people, and taking their decisions as Updates.

Owns the Update `decide` and its validator; the rules themselves are in `playbooks.gates`. A refused decision
leaves no trace in history, an accepted one is part of it.

    class ContainTargetWorkflow(Gatekeeper): ...
    outcome = await self.ask(gate)
"""

from collections.abc import Awaitable, Callable
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import DecisionRequest, GateStatus
    from playbooks.gates import DecisionRefused, Gate, Outcome, check_decision, outcome


class Gatekeeper:
    """Base of workflows that ask people. `_announce` tells the incident of every change of a gate."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}
        self._announce: Callable[[GateStatus], Awaitable[None]] | None = None

    async def ask(self, gate: Gate) -> Outcome:
        """Open a gate and wait for its outcome: by quorum, by denial, or by its deadline."""
        self._gates[gate.gate_id] = gate
        await self._tell(gate.gate_id)
        remaining = gate.deadline - workflow.now()
        try:
            await workflow.wait_condition(
                lambda: outcome(self._gates[gate.gate_id], workflow.now()) is not None,
                timeout=max(remaining.total_seconds(), 0.001),
            )
        except TimeoutError:
            workflow.logger.info("gate %s reached its deadline", gate.gate_id)
        # The timer may fire a hair before the deadline by the workflow's clock.
        decided = outcome(self._gates[gate.gate_id], max(workflow.now(), gate.opened_at))
        decided = decided or outcome(self._gates[gate.gate_id], gate.deadline)
        await self._tell(gate.gate_id)
        return decided or "denied"

    @workflow.update
    async def decide(self, request: DecisionRequest) -> GateStatus:
        """Take one person's decision."""
        decision = request.decision
        gate = self._gates[decision.gate_id]
        self._gates[decision.gate_id] = gate.model_copy(update={"decisions": (*gate.decisions, decision)})
        await self._tell(decision.gate_id)
        return self._gate_status(decision.gate_id)

    @decide.validator
    def _check_decision(self, request: DecisionRequest) -> None:
        gate = self._gates.get(request.decision.gate_id)
        try:
            check_decision(gate or self._no_gate(request.decision.gate_id), request.decision, workflow.now())
        except DecisionRefused as error:
            raise ApplicationError(error.summary, error.hint, type=error.code, non_retryable=True) from error

    def _no_gate(self, gate_id: str) -> NoReturn:
        raise DecisionRefused(
            f"There is no gate {gate_id} on this incident.", hint=f"Open gates: {', '.join(self._gates) or 'none'}."
        )

    def _gate_status(self, gate_id: str) -> GateStatus:
        gate = self._gates[gate_id]
        return GateStatus(gate=gate, workflow_id=workflow.info().workflow_id, outcome=outcome(gate, workflow.now()))

    async def _tell(self, gate_id: str) -> None:
        if self._announce is not None:
            await self._announce(self._gate_status(gate_id))
