"""PostMortemWorkflow: what an incident leaves behind.

Owns the last steps: verify the evidence of the case, seal it, render the report that names the seal, and seal again
what came since. A case that can't be verified or sealed is reported on all the same, and says so.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.contracts.custody import CaseVerdict, SealCase, SealRef, VerifyCase
    from activities.contracts.incident import IncidentSnapshot, RenderReport, Report

from workflows.orders import reason_of
from workflows.sealing import seal

# As long as a case of some hundred gigabytes takes to be read.
VERIFY_FOR = timedelta(hours=2)
# A vault that is away for longer is reported, not waited for.
VERIFY_IN_ALL = timedelta(hours=6)


@workflow.defn
class PostMortemWorkflow:
    """Verifies, seals and reports."""

    @workflow.init
    def __init__(self, snapshot: IncidentSnapshot) -> None:
        self._incident_id = snapshot.incident_id
        self._problem = ""

    @workflow.run
    async def run(self, snapshot: IncidentSnapshot) -> Report:
        """Returns where the report is, what of the evidence did not verify, and why it is not sealed."""
        failure = await self._verify()
        sealed = await self._seal("post-mortem")
        report: Report = await workflow.execute_activity(
            "render_report",
            RenderReport(snapshot=snapshot, seal=sealed),
            result_type=Report,
            start_to_close_timeout=timedelta(minutes=1),
        )
        if sealed is not None:
            await self._seal("the report")
        return report.model_copy(update={"evidence_failure": failure, "seal_problem": self._problem})

    async def _verify(self) -> str:
        """What does not hold, or why nobody could look."""
        try:
            verdict: CaseVerdict = await workflow.execute_activity(
                "verify_case",
                VerifyCase(incident_id=self._incident_id, actor="workflow", purpose="post-mortem"),
                result_type=CaseVerdict,
                start_to_close_timeout=VERIFY_FOR,
                schedule_to_close_timeout=VERIFY_IN_ALL,
                heartbeat_timeout=timedelta(minutes=10),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return f"the evidence could not be verified: {reason_of(error)}"
        return verdict.first_failure

    async def _seal(self, purpose: str) -> SealRef | None:
        try:
            ref, _ = await seal(SealCase(incident_id=self._incident_id, actor="workflow", purpose=purpose))
        except FailureError as error:
            self._problem = reason_of(error)
            return None
        self._problem = self._problem or ref.problem
        return ref
