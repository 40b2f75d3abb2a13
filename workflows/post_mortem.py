"""PostMortemWorkflow: what an incident leaves behind.

Owns the last steps: verify the evidence of the case, render the report.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.evidence import CaseVerdict, VerifyCase
    from activities.contracts.incident import IncidentSnapshot, RenderReport, Report


@workflow.defn
class PostMortemWorkflow:
    """Verifies and reports."""

    @workflow.run
    async def run(self, snapshot: IncidentSnapshot) -> Report:
        """Returns where the report is, and what of the evidence did not verify."""
        verdict: CaseVerdict = await workflow.execute_activity(
            "verify_case",
            VerifyCase(incident_id=snapshot.incident_id, actor="workflow", purpose="post-mortem"),
            result_type=CaseVerdict,
            start_to_close_timeout=timedelta(minutes=5),
        )
        report: Report = await workflow.execute_activity(
            "render_report",
            RenderReport(snapshot=snapshot),
            result_type=Report,
            start_to_close_timeout=timedelta(minutes=1),
        )
        return report.model_copy(update={"evidence_failure": verdict.first_failure})
