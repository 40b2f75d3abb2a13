"""A stand-in for Temporal's client with state of its own: gates really checked, failures to order.

The real engine is met end to end in tests/end_to_end; here its failures are needed, which a server does not
produce on demand.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.contracts.incident import DecisionRequest
from playbooks.gates import Decision, DecisionRefused, Gate, check_decision
from tests.activities.ledger.making import START


@dataclass
class Taken:
    """An Update that a workflow took."""

    workflow_id: str
    name: str
    argument: Any


@dataclass
class FakeTemporal:
    """`down` can't be connected to, `silent` never answers; every other workflow than `running` has ended."""

    running: set[str] = field(default_factory=set)
    gates: dict[str, Gate] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    # By the name of a workflow: what it answers to its input, or the code and words of its refusal; None: it times out.
    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    refuses: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    started: dict[str, Any] = field(default_factory=dict)
    down: bool = False
    silent: bool = False

    async def connect(self) -> Client:
        if self.down:
            raise RuntimeError("Failed client connect")
        return cast("Client", self)

    @property
    def service_client(self) -> "FakeTemporal":
        return self

    async def check_health(self) -> bool:
        return True

    async def execute_workflow(self, name: str, argument: Any, **_: Any) -> Any:
        self.started[name] = argument
        if name not in self.refuses:
            return self.answers[name](argument)
        refusal = self.refuses[name]
        cause = ApplicationError(refusal[1], type=refusal[0]) if refusal else None
        raise WorkflowFailureError(cause=cause or TimeoutError("workflow execution timed out"))

    def get_workflow_handle(self, workflow_id: str) -> "FakeHandle":
        return FakeHandle(self, workflow_id)


@dataclass
class FakeHandle:
    """One workflow."""

    temporal: FakeTemporal
    workflow_id: str

    async def execute_update(self, name: str, argument: Any, *, id: str | None = None) -> None:  # noqa: A002
        if self.temporal.silent:
            await asyncio.Event().wait()
        if self.workflow_id not in self.temporal.running:
            raise RPCError("workflow execution already completed", RPCStatusCode.NOT_FOUND, b"")
        if id in self.temporal.taken:
            return
        if isinstance(argument, DecisionRequest):
            self._decide(argument)
        self.temporal.taken[id or f"{self.workflow_id}:{name}"] = Taken(self.workflow_id, name, argument)

    def _decide(self, request: DecisionRequest) -> None:
        gate = self.temporal.gates[request.decision.gate_id]
        refusal = _refusal(gate, request.decision)
        if refusal is not None:
            raise WorkflowUpdateFailedError(refusal)
        decided = gate.model_copy(update={"decisions": (*gate.decisions, request.decision)})
        self.temporal.gates[gate.gate_id] = decided


def _refusal(gate: Gate, decision: Decision) -> ApplicationError | None:
    """As a workflow's validator refuses: the code as type, the hint as detail."""
    try:
        check_decision(gate, decision, START)
    except DecisionRefused as error:
        return ApplicationError(error.summary, error.hint, type=error.code, non_retryable=True)
    return None
