"""`firebreak worker --role aws|kubernetes`: kill-switch and collectors of one platform, on that platform's queue.

Owns their assembly. Holds that platform's credentials, the control plane's seal and a key of its own to hand evidence
over with; neither the SIEM's nor the ledger's nor the vault's, nor another target's. One process may serve several
clusters: each has a queue of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from activities.evidence.platforms.collect import OpenEvidence, PlatformEvidence
from activities.host.upload import VaultUploader
from activities.killswitch.verbs import OpenPlatform, PlatformKillswitch
from activities.orders.codec import Seal, control_converter
from activities.orders.interceptor import ErrorTranslation
from activities.orders.keys import load_or_create_secret
from api.processes.connecting import connect
from api.processes.platform_roles import Role, ready_mark
from api.processes.worker_identity import join_worker, key_of, who_is
from api.settings import SettingsInvalid, TargetWorkerSettings

log = structlog.get_logger(__name__)
# Ten targets of one incident are contained side by side; collecting takes minutes and has threads of its own.
THREADS, EVIDENCE_THREADS = 16, 8
UPLOAD_SECONDS = 30
Stack = contextlib.AsyncExitStack


@dataclass(frozen=True)
class Platform:
    """One platform as this worker serves it."""

    queues: tuple[str, ...]
    open_platform: OpenPlatform
    open_evidence: OpenEvidence


async def run_target_worker(settings: TargetWorkerSettings, role: Role, token_file: Path | None = None) -> None:
    """Run until cancelled; a call under way is finished first."""
    platform = _aws(settings) if role == "aws" else _kubernetes(settings)
    if token_file is not None:
        await asyncio.to_thread(join_worker, settings, role, token_file)
    seal = Seal(load_or_create_secret(settings.state_dir / "seal.secret"))
    converter = control_converter(seal, None, lambda _: None)
    client = await connect(settings.temporal_address, settings.temporal_namespace, converter)
    async with contextlib.AsyncExitStack() as running:
        http = running.enter_context(httpx.Client(timeout=UPLOAD_SECONDS))
        collect = _evidence(settings, role, platform, http).collect_from_platform
        switch = PlatformKillswitch(platform.open_platform).activities
        for queue in platform.queues:
            for name, verbs, size in ((queue, switch, THREADS), (f"{queue}.evidence", [collect], EVIDENCE_THREADS)):
                await running.enter_async_context(_worker(client, name, verbs, size, running))
        ready_mark(settings.state_dir, role).touch()
        log.info("worker of a platform is ready", role=role, queues=platform.queues)
        await asyncio.Event().wait()


def _evidence(settings: TargetWorkerSettings, role: Role, platform: Platform, http: httpx.Client) -> PlatformEvidence:
    worker = who_is(settings, role)
    uploader = VaultUploader(http, settings.api_url, worker.workload_id, key_of(settings, role))
    return PlatformEvidence(platform.open_evidence, worker, uploader, settings.state_dir / f"evidence-{role}")


def _worker(client: Client, queue: str, verbs: Sequence[Callable[..., Any]], size: int, running: Stack) -> Worker:
    executor = running.enter_context(ThreadPoolExecutor(size, thread_name_prefix=queue))
    return Worker(
        client,
        task_queue=queue,
        activities=verbs,
        activity_executor=executor,
        max_concurrent_activities=size,
        interceptors=[ErrorTranslation()],
    )


def _kubernetes(settings: TargetWorkerSettings) -> Platform:
    # Each role imports its own SDK: the other's is seconds of start and tens of megabytes.
    from activities.kubernetes.client import open_cluster
    from activities.kubernetes.evidence import open_evidence
    from activities.kubernetes.platform import open_platform

    if not settings.clusters:
        raise SettingsInvalid(
            "No cluster is named for this worker.",
            hint='Set FIREBREAK_CLUSTERS, for example {"prod": "/etc/firebreak/prod.kubeconfig"}; '
            "an empty path is the service account of the pod that it runs in.",
        )
    clients = {
        name: open_cluster(Path(kubeconfig) if kubeconfig else None) for name, kubeconfig in settings.clusters.items()
    }
    return Platform(tuple(f"kubernetes.{name}" for name in clients), open_platform(clients), open_evidence(clients))


def _aws(settings: TargetWorkerSettings) -> Platform:
    import boto3

    from activities.aws.evidence import open_evidence
    from activities.aws.evidence_scene import Forensics
    from activities.aws.sessions import AwsAccess, AwsSessions

    if settings.aws_external_id is None:
        raise SettingsInvalid(
            "No external id is set for the roles that this worker assumes.",
            hint="Set FIREBREAK_AWS_EXTERNAL_ID to what the roles' trust asks for: see deploy/aws.",
        )
    access = AwsAccess(
        endpoint_url=settings.aws_endpoint_url or None,
        role=settings.aws_role,
        external_id=settings.aws_external_id.get_secret_value(),
    )
    sessions = AwsSessions(access, boto3.Session())
    forensics = Forensics(kms_key=settings.aws_forensic_kms_key, account=settings.aws_forensic_account)
    return Platform(("aws",), sessions.open, open_evidence(sessions, forensics))
