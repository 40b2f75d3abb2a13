"""What follows the cut: evidence of every host, and the repair of those that can be repaired.

Owns the forensics and remediation stages of one incident; a part that fails costs nobody else's.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import ProcessRef
    from activities.contracts.incident import IncidentStart
    from activities.contracts.response import CollectResult, CollectStart, RemediateResult, RemediateStart
    from playbooks.playbook import Playbook
    from segmentation.workloads import Workload

from workflows.containment import Containments
from workflows.orders import reason_of
from workflows.record import IncidentRecord


class Aftermath:
    """Forensics and remediation of one incident."""

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
        hosts = [target for target in self._start.targets if target.kind == "host"]
        tasks: list[Any] = [self._collect_from(host) for host in hosts]
        if self._record.snapshot.corroborated is None:
            tasks.append(self._containments.corroborate())
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in (r for r in results if isinstance(r, BaseException)):
            self._record.note("forensics-failed", f"A collection failed: {reason_of(problem)}")
        collected = [r for r in results if isinstance(r, CollectResult)]
        items = tuple(item for result in collected for item in result.items)
        intruders = tuple(p for result in collected for p in result.intruders)
        self._record.update(evidence=items, intruders=intruders, waiting_for="")
        self._record.note("evidence-collected", f"{len(items)} items collected.", items=len(items))
        for words in (p for result in collected for p in result.problems):
            self._record.note("forensics-problem", words)

    async def _collect_from(self, target: Workload) -> CollectResult:
        destination = self._start.alerts.first.alert.destination
        status = self._containments.leases.status_of(target)
        collect = CollectStart(
            incident_id=self._start.incident_id,
            target=target,
            forensics=self._playbook.forensics,
            accused=(destination.ip,) if destination.ip else (),
            accused_ports=(destination.port,) if destination.port else (),
            containment_state=status.state if status else "under way",
            plan_hash=status.change.plan_hash if status and status.change else None,
        )
        child_id = f"{workflow.info().workflow_id}.collect.{target.workload_id}"
        collected: CollectResult = await workflow.execute_child_workflow(
            "CollectEvidenceWorkflow", collect, id=child_id, result_type=CollectResult
        )
        self._intruders[target.workload_id] = collected.intruders
        return collected

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
