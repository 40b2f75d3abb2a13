"""`firebreak agent`: takes orders for one host.

Owns the agent's assembly: identity, journal, flight recorder, flow shipper, and a Temporal worker on the host's own
queue. Listens on no port; every connection goes out. There is no verb that runs a command of somebody's choosing.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import httpx
import structlog
from temporalio.worker import Worker

from activities.host.artefacts import EvidenceSender, HostFacts
from activities.host.capture_tools import PacketSettings
from activities.host.collection import HostEvidence
from activities.host.denial_tail import DenialTail
from activities.host.drift import RulesetWatcher, Tampering
from activities.host.event_ring import EventLimits
from activities.host.flow_documents import FlowHost
from activities.host.flows import FlowShipper
from activities.host.interfaces import read_interfaces
from activities.host.killswitch import HostKillswitch
from activities.host.nft import Nft
from activities.host.ping import ping_host
from activities.host.recorder import FlightRecorder, RecorderSettings
from activities.host.signed import post_signed
from activities.host.upload import VaultUploader
from activities.host.volatile import VolatileCollector
from activities.host.volatile_files import ContentLimits
from activities.orders.codec import agent_converter
from activities.orders.interceptor import OrderGuard
from activities.orders.journal import OrderJournal
from activities.orders.keys import load_or_create_key
from activities.siem.client import siem_client
from api.processes.connecting import connect
from api.processes.joining import (
    Identity,
    JoinRefused,
    JoinTokenUnreadable,
    JoinUnreachable,
    control_key,
    join,
    load_identity,
    read_token,
)
from api.processes.reapply import JOURNAL, tell_reapplied
from api.settings import AgentSettings
from segmentation.errors import FirebreakError

# Collecting holds a thread for minutes: isolating and renewing must find one whatever is being collected.
THREADS = 96
log = structlog.get_logger(__name__)
READY = "ready"
RECORDER = "recorder.json"
RECORDING_SECONDS = 30.0


class NotJoined(FirebreakError):
    """This host obeys no control plane yet."""

    code: ClassVar[str] = "not-joined"


async def run_agent(settings: AgentSettings, join_url: str | None, token: str | Path | None) -> None:
    """Join if asked to, with a token or the file that holds it, then take orders until cancelled."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for mark in (READY, RECORDER):
        (settings.state_dir / mark).unlink(missing_ok=True)
    identity = await asyncio.to_thread(identify, settings, join_url, token)
    async with contextlib.AsyncExitStack() as closing:
        agent = Agent(settings, identity, closing)
        await agent.start()
        await agent.take_orders()


class Agent:
    """The parts of one host's agent; each is closed in turn when the stack is."""

    def __init__(self, settings: AgentSettings, identity: Identity, closing: contextlib.AsyncExitStack) -> None:
        self._settings, self._identity, self._closing = settings, identity, closing
        self._host = identity.workload
        self._key = load_or_create_key(settings.state_dir / "agent.key")
        self._journal = OrderJournal(settings.state_dir / JOURNAL)
        closing.callback(self._journal.close)
        self._nft = Nft()
        closing.callback(self._nft.close)
        self._watcher = RulesetWatcher(self._nft, tell_tampering)
        self._killswitch = HostKillswitch(self._host.workload_id, self._journal, self._nft, self._watcher)
        closing.callback(self._killswitch.close)
        self._http = closing.enter_context(httpx.Client(timeout=30))
        self._shipper = flow_shipper(settings, identity)
        offer = self._shipper.offer if self._shipper else lambda _: None
        recorder_dir = settings.state_dir / "recorder"
        self._recorder = FlightRecorder(recorder_dir, recorder_settings(settings), self._host.name, offer)

    async def start(self) -> None:
        """Have everything warm before the first order."""
        await asyncio.to_thread(self._nft.start)
        self._watcher.start()
        self._closing.callback(self._watcher.close)
        # Before anybody can be reached: a host that is held must not wait for its control plane to be held again.
        tell_reapplied(await asyncio.to_thread(self._killswitch.resume))
        await asyncio.to_thread(self._recorder.start)
        self._closing.callback(self._recorder.stop)
        if self._shipper is not None:
            self._shipper.start()
            self._closing.callback(self._shipper.stop)

    async def take_orders(self) -> None:
        """Work on the host's queue until cancelled."""
        place = self._identity
        converter = agent_converter(self._key, control_key(place))
        client = await connect(place.temporal_address, place.temporal_namespace, converter)
        executor = self._closing.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="order"))
        guard = OrderGuard(self._host.workload_id, self._journal, self._report_refusal)
        async with Worker(
            client,
            task_queue=self._host.queue,
            activities=self._verbs(),
            activity_executor=executor,
            interceptors=[guard],
        ):
            (self._settings.state_dir / READY).touch()
            log.info("agent takes orders", host=self._host.name, queue=self._host.queue)
            await asyncio.to_thread(self._tell_recording)
            await asyncio.Event().wait()

    def _tell_recording(self) -> None:
        """Say how the recorder came out: kernel events take seconds to compile, and orders don't wait for them."""
        status = self._recorder.wait_until_recording(RECORDING_SECONDS)
        try:
            (self._settings.state_dir / RECORDER).write_text(status.model_dump_json(), encoding="utf-8")
        except OSError as error:
            # A full disk costs this line, not the orders that are waited for.
            log.warning("how the recorder came out can't be written", reason=str(error))
        log.info("flight recorder", **status.model_dump())

    def _verbs(self) -> list[Callable[..., Any]]:
        facts = HostFacts.read(self._host.workload_id, self._host.name)
        uploader = VaultUploader(self._http, self._identity.api_url, self._host.workload_id, self._key)
        volatile = VolatileCollector(facts, content_limits(self._settings))
        evidence = HostEvidence(self._recorder, EvidenceSender(facts, uploader), volatile)
        collectors = (evidence.freeze_recorder, evidence.finish_capture, evidence.collect_volatile)
        return [ping_host, *self._killswitch.activities, *collectors]

    def _report_refusal(self, order_id: str, verb: str, reason: str) -> None:
        """Tell the control plane; it counts and audits. A report that fails is in our log."""
        body = json.dumps({"order_id": order_id, "verb": verb, "reason": reason}).encode()
        path = f"/v1/hosts/{self._host.workload_id}/refusals"
        try:
            post_signed(self._http, self._identity.api_url, path, body, host_id=self._host.workload_id, key=self._key)
        except httpx.HTTPError as error:
            log.warning("the refusal could not be reported", order_id=order_id, error=str(error))


def flow_shipper(settings: AgentSettings, identity: Identity) -> FlowShipper | None:
    """Ships flows to the SIEM, where there is one."""
    if not identity.siem_url:
        return None
    host = identity.workload
    denials = settings.denials_file or settings.state_dir / "denials.jsonl"
    tail = DenialTail(denials, settings.state_dir / "flows.offset")
    return FlowShipper(siem_client(identity.siem_url), tail, FlowHost(host.workload_id, host.name, host.labels))


def recorder_settings(settings: AgentSettings) -> RecorderSettings:
    """The recorder as the settings want it; without interfaces named, every one that is up but loopback."""
    interfaces = settings.recorder_interfaces or tuple(i.name for i in read_interfaces() if i.name != "lo")
    packets = PacketSettings(
        interfaces=interfaces,
        capture_filter=settings.recorder_filter,
        buffer_mib=settings.recorder_buffer_mib,
        capture_max_kib=settings.capture_max_mib << 10,
    )
    # In there: every interface but the loopback; ours have other names.
    elsewhere = {"interfaces": ()}
    return RecorderSettings(
        enabled=settings.recorder,
        packets=packets,
        namespaces=tuple(packets.model_copy(update=elsewhere | {"namespace": n}) for n in settings.recorder_namespaces),
        events=EventLimits(max_age_seconds=settings.recorder_age_seconds),
        max_age_seconds=settings.recorder_age_seconds,
    )


def content_limits(settings: AgentSettings) -> ContentLimits:
    """How much one collection takes at most."""
    return ContentLimits(file_max_bytes=settings.file_max_mib << 20)


def tell_tampering(tampering: Tampering) -> None:
    """Somebody touched our table; the watcher has loaded it again, or says why it could not."""
    log.warning("our ruleset was touched", table=tampering.table, failure=tampering.failure)


def identify(settings: AgentSettings, join_url: str | None, token: str | Path | None) -> Identity:
    """Who this agent is: by joining, or as it joined before.

    Raises:
        NotJoined: neither.
        JoinFailed: the control plane could not be joined, and this host never was.
    """
    known = load_identity(settings.state_dir)
    if join_url and token:
        try:
            return join(join_url, read_token(token) if isinstance(token, Path) else token, settings)
        except (JoinUnreachable, JoinRefused, JoinTokenUnreadable) as error:
            # A host that comes back while nobody answers, or after its token expired, must still be contained.
            if known is None:
                raise
            log.warning("could not join again, going on as joined before", reason=error.summary)
            return known
    if known is None:
        raise NotJoined(
            f"There is no identity in {settings.state_dir}.",
            hint="Join: firebreak agent --join URL --token-file FILE (make one: firebreak join-token create NAME).",
        )
    return known
