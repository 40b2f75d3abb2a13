"""PlanTargetWorkflow: what would be done to a target, with its hash, its way back and the platform's own dry run.

Changes nothing. Its plan is of no incident: the plan that a gate asks about is made anew, and has its own hash.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.response import ContainStart, PlanDocument, PlanStart
    from playbooks.playbook import ContainSpec

from workflows.choosing import switch_of
from workflows.orders import Orders


@workflow.defn
class PlanTargetWorkflow:
    """One plan."""

    @workflow.run
    async def run(self, start: PlanStart) -> PlanDocument:
        """Observe, plan, try on paper."""
        contain = ContainStart(
            incident_id=start.intent.incident_id,
            target=start.target,
            witnesses=(),
            intent=start.intent,
            contain=ContainSpec(),
        )
        return await switch_of(contain, Orders(start.intent.incident_id)).preview()
