"""RemediateWorkflow: people decide on a repair, the host carries it out, the result is confirmed.

Owns the remediation gate. For now one repair: ending the intruder's process groups.
"""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Killed, KillOrder, ProcessRef
    from activities.contracts.incident import GateStatus
    from activities.contracts.response import RemediateResult, RemediateStart
    from playbooks.canonical import digest
    from playbooks.gates import Gate, GateSpec
    from segmentation.bounds import cut

from workflows.gates import Gatekeeper
from workflows.orders import Orders, give, reason_of
from workflows.stopping import stop_restraint

# So much of a command is shown, and of who runs it: an intruder chose both, and the hash covers the whole.
SHOWN, USER = 120, 32


@workflow.defn
class RemediateWorkflow(Gatekeeper):
    """Ends the intruder on one host, if people agree."""

    @workflow.init
    def __init__(self, start: RemediateStart) -> None:
        super().__init__()
        self._announce = self._announce_gate
        self._restraint = lambda: stop_restraint(start.incident_id)
        self._start = start
        self._orders = Orders(start.incident_id)

    @workflow.run
    async def run(self, start: RemediateStart) -> RemediateResult:
        """Gate, kill, confirm."""
        if start.remediate.action == "none" or not start.intruders:
            return RemediateResult(state="nothing-to-do", summary="no process was found that the alert accuses")
        if start.remediate.gate and await self.ask(self._gate(start.remediate.gate)) == "denied":
            return RemediateResult(
                state="denied", summary=self.restrained_by or "people or the deadline denied the repair"
            )
        return await self._kill()

    def plan_hash(self) -> str:
        """Digest of the exact processes that would be ended."""
        return digest(
            {
                "action": self._start.remediate.action,
                "processes": [p.model_dump(mode="json") for p in self._start.intruders],
            }
        )

    def _gate(self, spec: GateSpec) -> Gate:
        start = self._start
        return Gate(
            gate_id=f"remediate.{start.target.name}",
            incident_id=start.incident_id,
            question=f"End the intruder's processes on {start.target.name}?",
            plan_hash=self.plan_hash(),
            plan=tuple(in_words(p) for p in start.intruders),
            spec=spec,
            requested_by=start.requested_by,
            opened_at=workflow.now(),
        )

    async def _kill(self) -> RemediateResult:
        start = self._start
        order = KillOrder(header=self._orders.header(start.target, self.plan_hash()), processes=start.intruders)
        try:
            killed = await give(start.target, "kill_process_groups", order, Killed)
        except FailureError as error:
            return RemediateResult(state="failed", summary=reason_of(error))
        ended = ", ".join(str(pid) for pid in killed.ended) or "none"
        summary = f"ended pids {ended}; " + ("no member is left" if killed.confirmed else f"alive: {killed.survivors}")
        return RemediateResult(
            state="done" if killed.confirmed else "failed", summary=summary, confirmed=killed.confirmed
        )

    async def _announce_gate(self, status: GateStatus) -> None:
        parent = workflow.info().parent
        if parent is not None:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal("gate_changed", status)


def in_words(process: ProcessRef) -> str:
    """One line of the plan that people decide on."""
    command = cut(" ".join(process.command) or process.executable, SHOWN)
    group, who = f"SIGKILL process group {process.pgid}", f"pid {process.pid} ({cut(process.user, USER)})"
    return f"{group}: {who} {command} {process.executable_sha256[:12]}"
