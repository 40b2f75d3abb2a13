"""Gates inside a workflow: asking people, and taking their decisions as Updates.

Owns the Update `decide` and its validator, and what is done at a deadline: deny, proceed, or ask others. The rules
themselves are in `playbooks.gates`. A refused decision leaves no trace in history, an accepted one is part of it.

    class ContainTargetWorkflow(Gatekeeper): ...
    outcome = await self.ask(gate)
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import DecisionRequest, GateStatus
    from playbooks.gates import (
        DecisionRefused,
        Gate,
        Outcome,
        approved_by_silence,
        check_decision,
        closed_to_silence,
        escalated,
        outcome,
    )


class Gatekeeper:
    """Base of workflows that ask people.

    `_announce` tells the incident of every change of a gate. `_restraint` is asked before silence opens a gate: why it
    must not, or nothing; None asks nobody.
    """

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}
        self._announce: Callable[[GateStatus], Awaitable[None]] | None = None
        self._restraint: Callable[[], Awaitable[str]] | None = None
        self.restrained_by = ""

    def remember(self, gates: Sequence[GateStatus]) -> None:
        """Know the gates of an earlier run: whoever decides on one that is closed is told so."""
        mine = workflow.info().workflow_id
        self._gates.update({status.gate.gate_id: status.gate for status in gates if status.workflow_id == mine})

    async def ask(self, gate: Gate) -> Outcome:
        """Open a gate and wait for its outcome: by quorum, by denial, or by its deadline; others may be asked then."""
        await self._open(gate)
        await self._decided(gate.gate_id)
        if higher := escalated(self._gates[gate.gate_id], self._moment(gate.gate_id)):
            await self._open(higher)
            await self._decided(gate.gate_id)
        await self._heed_restraint(gate.gate_id)
        moment = self._moment(gate.gate_id)
        await self._tell(gate.gate_id, moment)
        return outcome(self._gates[gate.gate_id], moment) or "denied"

    async def _open(self, gate: Gate) -> None:
        self._gates[gate.gate_id] = gate
        await self._tell(gate.gate_id)

    async def _decided(self, gate_id: str) -> None:
        remaining = self._gates[gate_id].deadline - workflow.now()
        try:
            await workflow.wait_condition(
                lambda: outcome(self._gates[gate_id], workflow.now()) is not None,
                timeout=max(remaining.total_seconds(), 0.001),
            )
        except TimeoutError:
            workflow.logger.info("gate %s reached its deadline", gate_id)

    def _moment(self, gate_id: str) -> datetime:
        """The time by which a gate that was waited for is judged: the timer may fire a hair before its deadline."""
        gate, now = self._gates[gate_id], workflow.now()
        return now if outcome(gate, now) is not None else max(now, gate.deadline)

    async def _heed_restraint(self, gate_id: str) -> None:
        gate = self._gates[gate_id]
        if self._restraint is None or not approved_by_silence(gate, self._moment(gate_id)):
            return
        self.restrained_by = await self._restraint()
        if self.restrained_by:
            self._gates[gate_id] = closed_to_silence(gate)

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

    def _gate_status(self, gate_id: str, at: datetime | None = None) -> GateStatus:
        gate, workflow_id = self._gates[gate_id], workflow.info().workflow_id
        return GateStatus(gate=gate, workflow_id=workflow_id, outcome=outcome(gate, at or workflow.now()))

    async def _tell(self, gate_id: str, at: datetime | None = None) -> None:
        if self._announce is not None:
            await self._announce(self._gate_status(gate_id, at))
