"""What follows the cut: evidence of every target, the repair of those that can be repaired, and what is learned.

Owns the forensics, remediation and learning stages of one incident; a part that fails costs nobody else's.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import ProcessRef
    from activities.contracts.incident import GateStatus, IncidentStart, Report
    from activities.contracts.response import CollectResult, CollectStart, RemediateResult, RemediateStart
    from playbooks.playbook import Playbook
    from segmentation.workloads import Workload

from workflows.containment import Containments
from workflows.listing import INTRUDERS_BYTES, ITEMS_BYTES, of_intruders, of_items, shares
from workflows.orders import reason_of
from workflows.record import IncidentRecord


class Aftermath:
    """Forensics, remediation and the report of one incident."""

    def __init__(
        self, start: IncidentStart, playbook: Playbook, containments: Containments, record: IncidentRecord
    ) -> None:
        self._start = start
        self._playbook = playbook
        self._containments = containments
        self._record = record
        self._intruders: dict[str, tuple[ProcessRef, ...]] = {}

    async def collect(self) -> None:
        """Evidence of every target, side by side; one that fails costs nobody else's."""
        self._record.enter("forensics", "evidence collection")
        tasks: list[Any] = [self._collect_from(target) for target in self._start.targets]
        if self._record.snapshot.corroborated is None:
            tasks.append(self._containments.corroborate())
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in (r for r in results if isinstance(r, BaseException)):
            self._record.note("forensics-failed", f"A collection failed: {reason_of(problem)}")
        collected = [r for r in results if isinstance(r, CollectResult)]
        self._list(collected)
        for words in (p for result in collected for p in result.problems):
            self._record.note("forensics-problem", words)

    def _list(self, collected: list[CollectResult]) -> None:
        """With the incident as many as fit; the case tells of all, and remediation goes by each child's own answer."""
        # Two pods of one node bring the same capture of it.
        found = {item.evidence_id: item for item in shares([result.items for result in collected])}
        items = of_items(found.values(), ITEMS_BYTES)
        intruders = of_intruders(shares([result.intruders for result in collected]), INTRUDERS_BYTES)
        unlisted = len(found) - len(items) + sum(result.unlisted for result in collected)
        self._record.update(evidence=items, evidence_unlisted=unlisted, intruders=intruders, waiting_for="")
        more = f" {unlisted} of them are not listed here: the case tells of all." if unlisted else ""
        count = len(items) + unlisted
        self._record.note("evidence-collected", f"{count} items collected.{more}", items=count)

    async def _collect_from(self, target: Workload) -> CollectResult:
        destination = self._start.alerts.first.alert.destination
        status = self._containments.leases.status_of(target)
        plan_hash = status.change.plan_hash if status and status.change else None
        collect = CollectStart(
            incident_id=self._start.incident_id,
            target=target,
            forensics=self._playbook.forensics,
            accused=(destination.ip,) if destination.ip else (),
            accused_ports=(destination.port,) if destination.port else (),
            containment_state=status.state if status else "under way",
            plan_hash=plan_hash,
            decision_ids=approvals(self._record.snapshot.gates, plan_hash),
            agents=self._agents() if target.kubernetes else (),
        )
        child_id = f"{workflow.info().workflow_id}.collect.{target.workload_id}"
        collected: CollectResult = await workflow.execute_child_workflow(
            "CollectEvidenceWorkflow", collect, id=child_id, result_type=CollectResult
        )
        self._intruders[target.workload_id] = collected.intruders
        return collected

    def _agents(self) -> tuple[Workload, ...]:
        """Every host with an agent: a pod's packets are on the wire of its node."""
        return tuple(host for host in (*self._start.targets, *self._start.witnesses) if host.kind == "host")

    async def remediate(self) -> bool:
        """Repair every host that can be; whether all targets are repaired then."""
        if self._playbook.remediate.action == "none":
            return False
        self._record.enter("remediate")
        hosts = [target for target in self._start.targets if target.kind == "host"]
        repaired = len(hosts) == len(self._start.targets)
        for target in hosts:
            remediate = RemediateStart(
                incident_id=self._start.incident_id,
                target=target,
                remediate=self._playbook.remediate,
                intruders=self._intruders.get(target.workload_id, ()),
            )
            child_id = f"{workflow.info().workflow_id}.remediate.{target.workload_id}"
            try:
                result: RemediateResult = await workflow.execute_child_workflow(
                    "RemediateWorkflow", remediate, id=child_id, result_type=RemediateResult
                )
            except ChildWorkflowError as error:
                result = RemediateResult(state="failed", summary=reason_of(error))
            repaired = repaired and result.state == "done"
            self._record.update(remediation=f"{result.state}: {result.summary}", waiting_for="")
            self._record.note(f"remediation-{result.state}", result.summary, confirmed=result.confirmed)
        return repaired

    async def learn(self) -> None:
        """Have the report made, once the ledger holds everything: the report reads it."""
        child_id = f"{workflow.info().workflow_id}.learn"
        # A report does not tell its reader that it is being waited for.
        learned = self._record.snapshot.model_copy(update={"waiting_for": ""})
        try:
            report: Report = await workflow.execute_child_workflow(
                "PostMortemWorkflow", learned, id=child_id, result_type=Report
            )
        except ChildWorkflowError as error:
            self._record.note("report-failed", f"The report could not be made: {reason_of(error)}")
            return
        self._record.update(report_uri=report.uri, waiting_for="")
        if report.evidence_failure:
            self._record.note("evidence-broken", f"The evidence does not verify: {report.evidence_failure}.")
        if report.seal_problem:
            self._record.note(
                "evidence-not-sealed", f"The evidence is not sealed as it should be: {report.seal_problem}"
            )
        self._record.note("report-written", f"The report is at {report.uri}.", sha256=report.sha256)


def approvals(gates: Sequence[GateStatus], plan_hash: str | None) -> tuple[str, ...]:
    """Who approved what stands on a target: at its own gate, or at one that asked about several targets at once."""
    return tuple(
        f"{gate.gate_id}/{decision.actor}"
        for gate in (status.gate for status in gates)
        if gate.plan_hash == plan_hash or gate.gate_id == "contain" or gate.gate_id.startswith("contain.group-")
        for decision in gate.decisions
        if decision.verdict == "approve"
    )
