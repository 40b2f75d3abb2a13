"""One incident from alert to report, for the tests that only look: playing it costs more than looking at it."""

from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from activities.contracts.host import ReleaseOrder
from activities.contracts.incident import IncidentSnapshot, TargetStatus
from activities.contracts.probing import ProbeOrder
from api.processes.sandbox import workflow_runner
from segmentation.workloads import Workload
from tests.workflows.case import Case
from tests.workflows.control import Desk
from tests.workflows.history import Event, events, scheduled
from tests.workflows.network import FakeHost

CHILDREN = (".contain.web", ".collect.web", ".learn")


@dataclass(frozen=True)
class Story:
    """What happened."""

    hosts: dict[str, Workload]
    control_queue: str
    web: FakeHost
    desk: Desk
    events: list[Event]
    ordered: list[tuple[str, str]]
    proven: TargetStatus
    answer: IncidentSnapshot
    final: IncidentSnapshot
    probe: ProbeOrder
    release: ReleaseOrder


async def play_story(address: str, folder: Path) -> Story:
    """An incident that is contained at once, proven, and released by a person."""
    async with Case(await Client.connect(address), folder, "story") as case:
        await case.work(runner=workflow_runner())
        await case.join(*case.hosts)
        handle = await case.open()
        proven = await case.target("isolated", proven=True)
        # Who releases while evidence is still collected leaves nothing for the stage of release to tell.
        await case.desk.until(lambda snapshot: snapshot.stage == "release")
        answer = await case.release()
        final = await case.finish()
        ordered = await scheduled(handle)
        for child in CHILDREN:
            ordered += await scheduled(case.handle(child))
        return Story(
            hosts=case.hosts,
            control_queue=case.queue,
            web=case.web,
            desk=case.desk,
            events=await events(handle),
            ordered=ordered,
            proven=proven,
            answer=answer,
            final=final,
            probe=next(o for o in case.fakes["app"].orders if isinstance(o, ProbeOrder)),
            release=next(o for o in case.web.orders if isinstance(o, ReleaseOrder)),
        )
