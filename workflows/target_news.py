"""Where one target stands, and telling its incident of it.

Owns the target's status. What becomes of the target is decided in `workflows.contain_target`.
"""

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import GateStatus, LeaseRenewed, TargetState, TargetStatus
    from activities.contracts.response import ContainStart

from workflows.orders import reason_of


class TargetNews:
    """What the incident hears of one target."""

    def __init__(self, start: ContainStart) -> None:
        self._target = start.target
        workflow_id = workflow.info().workflow_id
        self.status = start.status or TargetStatus(workload=start.target, state="planned", workflow_id=workflow_id)

    async def become(self, state: TargetState, **changes: object) -> None:
        """Change the status, and tell of it."""
        update = {"state": state, "reason": "", "release_problem": ""} | changes
        self.status = self.status.model_copy(update=update)
        await self._signal("target_changed", self.status)

    async def tell_lease(self, reason: str, until: datetime | None) -> None:
        """Only what is new: a lease is renewed a thousand times, and its plan may be long."""
        self.status = self.status.model_copy(update={"lease_until": until, "reason": reason})
        target_id = self._target.workload_id
        await self._signal("lease_renewed", LeaseRenewed(target_id=target_id, lease_until=until, reason=reason))

    async def tell_gate(self, status: GateStatus) -> None:
        """A gate was opened, decided on or closed."""
        await self._signal("gate_changed", status)

    async def _signal(self, name: str, document: TargetStatus | LeaseRenewed | GateStatus) -> None:
        parent = workflow.info().parent
        if parent is None:
            return
        try:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal(name, document)
        except FailureError as error:
            # The lease outlives an incident that somebody ended: nobody else holds it.
            workflow.logger.warning("the incident does not hear of %s: %s", name, reason_of(error))
