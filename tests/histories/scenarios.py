"""What the committed histories tell: each scenario plays one incident, or one workflow, to its end."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowUpdateFailedError

from activities.contracts.custody import SealCase
from activities.contracts.host import Isolated
from activities.contracts.incident import ReleaseRequest, TargetStatus
from activities.contracts.response import PlanStart
from playbooks.host_isolation import plan_isolation
from playbooks.platform_intent import PlatformIntent
from playbooks.playbook import ContainSpec, LeaseSpec, Playbook
from playbooks.proof import conclude
from segmentation.errors import FirebreakError
from tests.workflows.case import Case, Handle, LongCase
from tests.workflows.cast import GATE, INTRUDER, batch, contain_start, host_intent, playbook
from tests.workflows.containing import contain
from tests.workflows.impatience import Impatient
from tests.workflows.platforms import FakeCluster
from workflows.detect import DetectWorkflow
from workflows.incident import IncidentWorkflow
from workflows.ping_host import PingHostWorkflow
from workflows.plan_target import PlanTargetWorkflow
from workflows.seal_case import SealCaseWorkflow

REPAIR = {"action": "kill-process-group", "gate": {"roles": ["approver"]}}
LEASE = {"ttl_seconds": 900, "max_seconds": 900}
LONG = ContainSpec(lease=LeaseSpec(ttl_seconds=900, max_seconds=30 * 86400))


def small(**sections: Any) -> Playbook:
    """A playbook that makes short histories."""
    return playbook(**{"forensics": {"capture_seconds": 1, "collect": ["sockets"]}, **sections})


async def play(case: Case, *names: str, **changes: Any) -> Handle:
    """An incident with one witness, so that its histories stay small."""
    plain: dict[str, Any] = {"playbook": small(), "witnesses": (case.hosts["app"],)}
    return await case.play(*(names or ("web", "app")), **{**plain, **changes})


async def contained_at_once(case: Case) -> None:
    """The fast path, repeats of the alert, a repair that people decided on, a release by a person."""
    case.web.processes = (INTRUDER,)
    handle = await play(case, playbook=small(remediate=REPAIR))
    await case.target("isolated", proven=True)
    await handle.signal(IncidentWorkflow.alerts, batch(2, 3))
    await case.decide(await case.gate())
    await case.desk.until(lambda s: s.remediation.startswith("done"))
    await case.release()
    await case.finish()


async def decided_by_people(case: Case) -> None:
    """A gate with a quorum of two, and a release by the playbook."""
    case.web.processes = (INTRUDER,)
    sections = {"remediate": {**REPAIR, "gate": None}, "release": {"when": "remediated"}}
    gate = GATE.model_copy(update={"quorum": 2}).model_dump()
    await play(case, playbook=small(contain={"gate": gate}, **sections))
    gate_status = await case.gate()
    await case.decide(gate_status, actor="ana")
    await case.decide(gate_status, actor="ben")
    await case.finish()


async def denied(case: Case) -> None:
    """An unsigned alert that the SIEM does not confirm, and one denial."""
    case.desk.siem = False
    await play(case, alerts=batch(1, signed=False))
    await case.decide(await case.gate(), "deny")
    await case.finish()


async def corroborated(case: Case) -> None:
    """An unsigned alert that the SIEM confirms; a host that could not let go at first."""
    case.web.troubles["release_host"] = FirebreakError("nft refused the batch")
    await play(case, alerts=batch(1, signed=False))
    await case.target("isolated", proven=True)
    await case.desk.until(lambda s: s.waiting_for == "release by a person")
    with contextlib.suppress(WorkflowUpdateFailedError):
        await case.release()
    del case.web.troubles["release_host"]
    await case.release()
    await case.finish()


async def triaged(case: Case) -> None:
    """An alert about nobody we know, closed by a person."""
    await play(case, targets=())
    await case.desk.until(lambda s: s.stage == "triage")
    await case.close()
    await case.finish()


async def rolled_back(case: Case) -> None:
    """A lifeline that died with the isolation."""
    case.web.lifeline = "cut"
    await play(case)
    await case.finish()


async def agent_away(case: Case) -> None:
    """Nobody takes the orders."""
    await case.work(Impatient())
    await case.join("app")
    await case.open(playbook=small(), witnesses=(case.hosts["app"],))
    await case.desk.until(lambda s: s.stage == "release" and any(t.state == "applying" for t in s.targets))
    await case.release()
    await case.finish()


async def pod_contained(case: Case) -> None:
    """A pod at once; somebody changed it before it was released, and people let that be."""
    cluster = FakeCluster(case.incident_id)
    await case.serve(cluster)
    await play(case, targets=(cluster.pod("web-1"),))
    await case.desk.until(lambda s: any(t.proof is not None for t in s.targets))
    cluster.values["pod/shop/web-1", "labels"] = {"edited": "by-hand"}
    with contextlib.suppress(WorkflowUpdateFailedError):
        await case.release()
    await case.decide(await case.gate(), "deny")
    await case.finish()


async def asked_together(case: Case) -> None:
    """A host and a pod behind one gate."""
    cluster = FakeCluster(case.incident_id)
    await case.serve(cluster)
    targets = (case.hosts["web"], cluster.pod("web-1"))
    gated = small(contain={"gate": GATE.model_dump(), "max_targets": 2})
    await play(case, targets=targets, playbook=gated)
    await case.decide(await case.gate())
    await case.desk.until(lambda s: sum(t.proof is not None for t in s.targets) == len(targets))
    await case.release()
    await case.finish()


async def plan(case: Case) -> None:
    """What would be done to a pod."""
    cluster = FakeCluster(case.incident_id)
    await case.work()
    await case.serve(cluster)
    intent = PlatformIntent(
        incident_id="preview-1", target_id="any", at=datetime.now(UTC), lease_seconds=900, ends="open"
    )
    start = PlanStart(target=cluster.pod("web-1"), intent=intent)
    await case.client.execute_workflow(PlanTargetWorkflow.run, start, id=case.handle(".plan").id, task_queue=case.queue)


async def ping(case: Case) -> None:
    """Is the agent there?"""
    await case.work()
    await case.join("web")
    await case.client.execute_workflow(
        PingHostWorkflow.run, case.hosts["web"], id=case.handle(".ping").id, task_queue=case.queue
    )


async def sealed(case: Case) -> None:
    """A seal that somebody asks for, and its timestamp."""
    case.desk.has_authority = True
    await case.work()
    asked = SealCase(incident_id=case.incident_id, actor="user:ana", purpose="end of shift")
    await case.client.execute_workflow(SealCaseWorkflow.run, asked, id=case.handle(".seal").id, task_queue=case.queue)
    await case.handle(".timestamp.1").result()


async def detect(case: Case) -> None:
    """One run of the detections."""
    await case.work()
    await case.client.execute_workflow(DetectWorkflow.run, id=case.handle(".detect").id, task_queue=case.queue)


async def expired(case: LongCase) -> None:
    """A lease that is renewed until its longest time, and ends open."""
    await play(case, playbook=small(contain={"lease": LEASE}))
    await case.target("isolated", proven=True)
    await case.let_pass(minutes=35)
    await case.finish()


async def undecided(case: LongCase) -> None:
    """A gate that nobody answers."""
    await play(case, playbook=small(contain={"gate": GATE.model_dump()}))
    await case.gate()
    await case.let_pass(seconds=GATE.deadline_seconds + 1)
    await case.finish()


async def continued(case: LongCase) -> None:
    """The second run of a lease that continued as new."""
    await case.work()
    await case.join("web", "app")
    intent = host_intent(contain_start(case.incident_id, case.hosts))
    before, now = case.web.observation(), datetime.now(UTC)
    change = plan_isolation(before, intent)
    status = TargetStatus(
        workload=case.hosts["web"],
        state="isolated",
        change=change,
        observation=before,
        applied_at=now,
        proof=conclude(()),
    )
    isolated = Isolated(observation=before, change=change, applied_at=now, read_back=True)
    handle, _ = await contain(case, gate=None, isolated=isolated, renewals=501, status=status, contain=LONG)
    await case.let_pass(minutes=6)
    await handle.signal("release", ReleaseRequest(actor="ana", reason="enough"))
    await handle.result()


Scenario = Callable[[Any], Awaitable[None]]
SCENARIOS: tuple[Scenario, ...] = (
    contained_at_once,
    decided_by_people,
    denied,
    corroborated,
    triaged,
    rolled_back,
    agent_away,
    pod_contained,
    asked_together,
    plan,
    ping,
    sealed,
    detect,
)
LONG_SCENARIOS: tuple[Scenario, ...] = (expired, undecided, continued)
