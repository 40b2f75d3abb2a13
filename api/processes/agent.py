"""`firebreak agent`: takes orders for one host.

Owns the agent's assembly: identity, journal, flight recorder, flow shipper, and a Temporal worker on the host's own
queue. Listens on no port; every connection goes out. There is no verb that runs a command of somebody's choosing.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import structlog
from temporalio.worker import Worker

from activities.host.ping import ping_host
from activities.orders.codec import agent_converter
from activities.orders.interceptor import OrderGuard
from activities.orders.journal import OrderJournal
from activities.orders.keys import load_or_create_key
from api.processes.joining import Identity, control_key, join, load_identity
from api.processes.worker import connect
from api.settings import AgentSettings
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)


class NotJoined(FirebreakError):
    """This host obeys no control plane yet."""

    code: ClassVar[str] = "not-joined"


async def run_agent(settings: AgentSettings, join_url: str | None, token: str | None) -> None:
    """Join if asked to, then take orders until cancelled."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ready = settings.state_dir / READY
    ready.unlink(missing_ok=True)
    identity = await asyncio.to_thread(identify, settings, join_url, token)
    key = load_or_create_key(settings.state_dir / "agent.key")
    host = identity.workload
    uploader = VaultUploader(identity.api_url, host.workload_id, key)
    recorder = FlightRecorder(recorder_settings(settings, host))
    shipper = flow_shipper(settings, identity, recorder)
    journal = OrderJournal(settings.state_dir / "journal.db")
    nft = Nft()
    watcher = RulesetWatcher(nft, lambda tampering: log.warning("our table was touched", tampering=str(tampering)))
    killswitch = HostKillswitch(host.workload_id, journal, nft, watcher)
    evidence = HostEvidence(host, recorder, uploader, journal)
    report = partial(report_refusal, uploader, host.workload_id)
    converter = agent_converter(key, control_key(identity))
    client = await connect(identity.temporal_address, identity.temporal_namespace, converter)
    await asyncio.to_thread(nft.start)
    watcher.start()
    try:
        await asyncio.to_thread(recorder.start)
        shipper.start()
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="order") as executor:
            worker = Worker(
                client,
                task_queue=host.queue,
                activities=[ping_host, *killswitch.activities, *evidence.activities],
                activity_executor=executor,
                interceptors=[OrderGuard(host.workload_id, journal, report)],
            )
            async with worker:
                ready.touch()
                log.info("agent takes orders", host=host.name, queue=host.queue)
                await asyncio.Event().wait()
    finally:
        shipper.stop()
        await asyncio.to_thread(recorder.stop)
        watcher.close()
        nft.close()
        journal.close()


def identify(settings: AgentSettings, join_url: str | None, token: str | None) -> Identity:
    """Who this agent is: by joining, or as it joined before.

    Raises:
        NotJoined: neither.
        JoinFailed: the control plane refused.
    """
    known = load_identity(settings.state_dir)
    if join_url and token:
        return join(join_url, token, settings)
    if known is None:
        raise NotJoined(
            f"There is no identity in {settings.state_dir}.",
            hint="Join: firebreak agent --join URL --token TOKEN (make one: firebreak join-token create NAME).",
        )
    return known
