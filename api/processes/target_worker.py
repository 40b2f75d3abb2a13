"""`firebreak worker --role aws|kubernetes`: the kill-switch of one platform, on that platform's queue.

Owns their assembly. Holds that platform's credentials and the control plane's seal; neither the SIEM's nor the ledger's
nor another target's. One process may serve several clusters: each has a queue of its own.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from activities.killswitch.verbs import OpenPlatform, PlatformKillswitch
from activities.orders.codec import Seal, control_converter
from activities.orders.interceptor import ErrorTranslation
from activities.orders.keys import load_or_create_secret
from api.processes.connecting import connect
from api.processes.platform_roles import Role, ready_mark
from api.settings import SettingsInvalid, TargetWorkerSettings

log = structlog.get_logger(__name__)
# Ten targets of one incident are contained side by side.
THREADS = 16


async def run_target_worker(settings: TargetWorkerSettings, role: Role) -> None:
    """Run until cancelled; a call under way is finished first."""
    queues, open_platform = _aws(settings) if role == "aws" else _kubernetes(settings)
    seal = Seal(load_or_create_secret(settings.state_dir / "seal.secret"))
    converter = control_converter(seal, None, lambda _: None)
    client = await connect(settings.temporal_address, settings.temporal_namespace, converter)
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix=role) as executor:
        workers = [_worker(client, queue, open_platform, executor) for queue in queues]
        async with contextlib.AsyncExitStack() as running:
            for worker in workers:
                await running.enter_async_context(worker)
            ready_mark(settings.state_dir, role).touch()
            log.info("worker of a platform is ready", role=role, queues=queues)
            await asyncio.Event().wait()


def _worker(client: Client, queue: str, open_platform: OpenPlatform, executor: ThreadPoolExecutor) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=PlatformKillswitch(open_platform).activities,
        activity_executor=executor,
        max_concurrent_activities=THREADS,
        interceptors=[ErrorTranslation()],
    )


def _kubernetes(settings: TargetWorkerSettings) -> tuple[list[str], OpenPlatform]:
    # Each role imports its own SDK: the other's is seconds of start and tens of megabytes.
    from activities.kubernetes.client import open_cluster
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
    return [f"kubernetes.{name}" for name in clients], open_platform(clients)


def _aws(settings: TargetWorkerSettings) -> tuple[list[str], OpenPlatform]:
    import boto3

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
    return ["aws"], AwsSessions(access, boto3.Session()).open
