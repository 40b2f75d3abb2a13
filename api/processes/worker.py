"""`firebreak worker`: workflows, control activities and the dispatcher, in one process on one connection.

Owns their assembly. Holds SIEM and ledger credentials and the key that signs orders; no credential of a target.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from pydantic import SecretStr
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.evidence.register import EvidenceRegistry
from activities.evidence.sealing.seal import Sealing
from activities.evidence.vault.opening import open_vault
from activities.ledger.ledger import Ledger
from activities.ledger.recording import Recording
from activities.orders.codec import Seal, control_converter
from activities.orders.interceptor import ErrorTranslation
from activities.orders.keys import load_control_key, load_or_create_secret
from activities.report.render import Reports
from activities.siem.client import siem_client
from activities.siem.corroborate import Corroborations
from activities.siem.detect import Detections
from activities.siem.notify import ship_events
from activities.siem.templates import install_templates
from api.processes.addresses import lifeline_of
from api.processes.connecting import connect
from api.processes.describe import CATALOG, Describer
from api.processes.dispatcher import CONTROL_QUEUE, Dispatcher
from api.processes.late_copies import copy_late_documents
from api.processes.rehearsal import rehearse
from api.processes.restraints import Restrainer
from api.processes.sandbox import workflow_runner
from api.processes.sealing import open_authority, open_signer, open_trust
from api.settings import WorkerSettings
from api.sources import Sources
from playbooks.loading import load_catalog, load_detections, load_safeguards
from workflows.collect_evidence import CollectEvidenceWorkflow
from workflows.contain_target import ContainTargetWorkflow
from workflows.detect import DetectWorkflow
from workflows.incident import IncidentWorkflow
from workflows.ping_host import PingHostWorkflow
from workflows.plan_target import PlanTargetWorkflow
from workflows.post_mortem import PostMortemWorkflow
from workflows.remediate import RemediateWorkflow
from workflows.seal_case import SealCaseWorkflow, TimestampSealWorkflow

log = structlog.get_logger(__name__)
DETECTIONS = Path(__file__).parents[2] / "playbooks" / "detections"
WORKFLOWS = [
    IncidentWorkflow,
    ContainTargetWorkflow,
    CollectEvidenceWorkflow,
    RemediateWorkflow,
    PostMortemWorkflow,
    SealCaseWorkflow,
    TimestampSealWorkflow,
    PingHostWorkflow,
    PlanTargetWorkflow,
    DetectWorkflow,
]


async def run_worker(settings: WorkerSettings) -> None:
    """Run until cancelled; a task under way is finished first."""
    ledger = Ledger.open(settings.ledger)
    playbooks = load_catalog(settings.playbook_dir or CATALOG)
    seal = Seal(load_or_create_secret(settings.state_dir / "seal.secret"))
    converter = control_converter(seal, load_control_key(settings.state_dir), ledger.hosts.public_key)
    client = await connect(settings.temporal_address, settings.temporal_namespace, converter)
    siem = siem_client(settings.siem_url, api_key=_secret(settings.siem_api_key)) if settings.siem_url else None
    describe = Describer(
        ledger.hosts.hosts,
        playbooks,
        lifeline_of(settings),
        Restrainer(ledger, load_safeguards(settings.safeguards_file)),
        log_group=settings.log_group,
        siem_configured=siem is not None,
    )
    dispatcher = Dispatcher(ledger.intake, client, describe, settings.state_dir)
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="activity") as executor:
        worker = Worker(
            client,
            task_queue=CONTROL_QUEUE,
            workflows=WORKFLOWS,
            activities=control_activities(settings, ledger, siem),
            activity_executor=executor,
            workflow_runner=workflow_runner(),
            interceptors=[ErrorTranslation()],
        )
        copying = copy_late_documents(ledger.custody, cache(partial(open_vault, settings.vault_place)))
        async with worker, background(prepare_siem(siem)), background(copying):
            await rehearse(client, playbooks)
            await ensure_detections(client, settings, siem)
            (settings.state_dir / "worker.ready").touch()
            log.info("worker is ready", playbooks=[p.name for p in playbooks])
            await dispatcher.run()


def control_activities(
    settings: WorkerSettings, ledger: Ledger, siem: Elasticsearch | None
) -> list[Callable[..., Any]]:
    """Every activity of the control queue."""
    vault = open_vault(settings.vault_place)
    registry = EvidenceRegistry(ledger.custody, vault, partial(open_trust, settings))
    signer, trust = cache(partial(open_signer, settings)), partial(open_trust, settings)
    sealing = Sealing(registry, ledger.custody, vault, signer, open_authority(settings), trust)
    reports = Reports(ledger.incidents, vault)
    recording = Recording(ledger, partial(ship_events, siem) if siem else _nobody)
    activities: list[Callable[..., Any]] = [
        recording.record_incident,
        recording.read_stop,
        registry.register_evidence,
        registry.verify_case,
        sealing.seal_case,
        sealing.timestamp_seal,
        reports.render_report,
    ]
    activities.append(Corroborations(siem, ledger.hosts.hosts).corroborate_alert)
    source = Sources(settings.state_dir).find(settings.detect_source)
    if siem is not None and source is not None and source.signed:
        url = f"{settings.intake_url.rstrip('/')}/v1/alerts/{source.name}"
        secret = source.secrets[0].get_secret_value()
        activities.append(Detections(siem, url, secret, load_detections(DETECTIONS)).run_detections)
    return activities


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the worker; it ends with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def prepare_siem(siem: Elasticsearch | None) -> None:
    """Have the SIEM know our fields before the first flow; it may come up later than we do."""
    while siem is not None:
        try:
            await asyncio.to_thread(install_templates, siem)
        except (ApiError, TransportError) as error:
            log.warning("the SIEM did not take our index templates, trying again", error=str(error)[:200])
            await asyncio.sleep(2)
        else:
            return


async def ensure_detections(client: Client, settings: WorkerSettings, siem: Elasticsearch | None) -> None:
    """Have Temporal run the detections as often as the settings say, or not at all."""
    handle = client.get_schedule_handle("detect")
    with contextlib.suppress(RPCError):
        await handle.delete()
    if siem is None or not settings.detect_every_seconds:
        return
    await client.create_schedule(
        "detect",
        Schedule(
            action=ScheduleActionStartWorkflow(DetectWorkflow.run, id="detect", task_queue=CONTROL_QUEUE),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(seconds=settings.detect_every_seconds))]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
        ),
    )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _nobody(*_: object) -> None:
    """Where no SIEM is configured nobody is told."""
