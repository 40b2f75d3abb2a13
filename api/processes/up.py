"""`firebreak up`: one node with everything embedded, on one machine.

Owns the order in which the parts start and stop, the first administrator's token, and `node.json`, where the node says
what runs where. State stays in the state directory: a restart goes on with every open incident.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import structlog

from activities.orders.keys import load_control_key
from api.processes.describe import CATALOG
from api.processes.embedded import http_ready, siem_program, temporal_program, temporal_ready
from api.processes.forwarding import LOOPBACK, forwarding
from api.processes.platform_roles import marked_ready, ready_mark, role_environment, roles_of
from api.processes.sealing import sealing_environment
from api.processes.supervisor import Program, Supervisor, firebreak
from api.processes.worker_identity import admit_workers
from api.settings import SettingsInvalid, UpSettings
from api.sources import Sources
from api.tokens import Tokens
from playbooks.loading import load_catalog, load_safeguards
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)
NODE = "node.json"
EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - to recognise, not to bind


class AlreadyUp(FirebreakError):
    """Something else has what this node needs."""

    code: ClassVar[str] = "already-up"


async def run_up(settings: UpSettings) -> None:
    """Start everything, say where it is, and keep it running until SIGTERM or SIGINT."""
    prepare(settings)
    with alone(settings):
        await _run(settings)


async def _run(settings: UpSettings) -> None:
    supervisor = Supervisor(settings.state_dir / "logs")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(keep_running(settings, supervisor))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # it never ends by itself: this raises what went wrong
    finally:
        running.cancel()
        stopping.cancel()
        with contextlib.suppress(FileNotFoundError):
            (settings.state_dir / NODE).unlink()
        await supervisor.stop()
        log.info("firebreak is down, open incidents go on at the next start")


def prepare(settings: UpSettings) -> None:
    """The state directory, the first administrator, and the source that our own detections post as.

    Raises:
        PlaybookInvalid: before anything starts, rather than in a worker that would be started again and again.
    """
    load_catalog(settings.playbook_dir or CATALOG)
    load_safeguards(settings.safeguards_file)
    advertised_host(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.state_dir.chmod(0o700)
    load_control_key(settings.state_dir)
    tokens = Tokens(settings.state_dir)
    if not tokens.entries():
        made = tokens.create("admin", ("admin",))
        write_secret(settings.state_dir / "admin.token", made.token)
        log.info("first start: the administrator's token was written", file=str(settings.state_dir / "admin.token"))
    sources = Sources(settings.state_dir)
    if sources.find(settings.detect_source) is None:
        sources.add(settings.detect_source)


@contextlib.contextmanager
def alone(settings: UpSettings) -> Iterator[None]:
    """Be the only node on this state directory, and find every port free.

    Raises:
        AlreadyUp: another process has the directory or a port.
    """
    with (settings.state_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(
                f"Another `firebreak up` runs on {settings.state_dir}.", hint="Stop it, or choose another --state-dir."
            ) from error
        wanted = {"api": settings.api_port, "temporal": settings.temporal_port, "siem": settings.siem_port}
        for name, port in wanted.items():
            if port and not _is_free(local_host(settings), port):
                raise AlreadyUp(
                    f"Port {port} for {name} is in use on {local_host(settings)}.",
                    hint=f"Choose another with --{name}-port.",
                )
        yield


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # As the parts do themselves: connections of a former run that linger are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def start_parts(settings: UpSettings, supervisor: Supervisor) -> None:
    """Temporal and the SIEM first, then the API, then the worker."""
    listen = settings.bind if settings.bind in EVERY_ADDRESS else LOOPBACK
    await supervisor.start(temporal_program(listen, settings.temporal_port, settings.state_dir / "temporal.db"))
    if settings.siem_port:
        await supervisor.start(siem_program(listen, settings.siem_port))
    (settings.state_dir / "worker.ready").unlink(missing_ok=True)
    environment = environment_of(settings)
    await supervisor.start(Program("api", firebreak("serve"), environment))
    await supervisor.start(Program("worker", firebreak("worker"), environment))
    await asyncio.to_thread(admit_workers, settings)
    address = temporal_address(settings)
    for role in roles_of(settings):
        ready_mark(settings.state_dir, role).unlink(missing_ok=True)
        await supervisor.start(
            Program(
                f"worker-{role}",
                firebreak("worker", "--role", role),
                role_environment(settings, address, api_url(settings)),
            )
        )
    await temporal_ready(temporal_address(settings))
    await http_ready(f"{api_url(settings)}/healthz")
    await marked_ready(settings.state_dir / "worker.ready")
    for role in roles_of(settings):
        await marked_ready(ready_mark(settings.state_dir, role))


def environment_of(settings: UpSettings) -> dict[str, str]:
    """The settings of the parts, as the variables that they read."""
    siem = f"http://{LOOPBACK}:{settings.siem_port}" if settings.siem_port else settings.siem_url
    chosen: dict[str, object] = {
        "state_dir": settings.state_dir.resolve(),
        "temporal_address": temporal_address(settings),
        "temporal_namespace": settings.temporal_namespace,
        "siem_url": siem,
        "siem_api_key": settings.siem_api_key.get_secret_value() if settings.siem_api_key else "",
        "log_format": "json",
        "log_level": settings.log_level,
        "bind": settings.bind,
        "intake_url": api_url(settings),
        "ledger_url": settings.ledger_url,
        "advertise_host": advertised_host(settings),
        "api_port": settings.api_port,
        "advertise_temporal_port": settings.advertise_temporal_port,
        "detect_every_seconds": settings.detect_every_seconds,
        "detect_source": settings.detect_source,
        "vault_dir": settings.vault_dir.resolve() if settings.vault_dir else "",
        "vault_bucket": settings.vault_bucket,
        "vault_prefix": settings.vault_prefix,
        "vault_region": settings.vault_region,
        "vault_endpoint_url": settings.vault_endpoint_url,
        "vault_lock_days": settings.vault_lock_days,
        "vault_key_file": settings.vault_key_file.resolve() if settings.vault_key_file else "",
        "vault_kms_key": settings.vault_kms_key,
        **sealing_environment(settings),
        "playbook_dir": settings.playbook_dir.resolve() if settings.playbook_dir else "",
        "safeguards_file": settings.safeguards_file.resolve() if settings.safeguards_file else "",
        "log_group": settings.log_group if settings.log_group is not None else "",
    }
    return {f"FIREBREAK_{key.upper()}": str(value) for key, value in chosen.items()}


def temporal_address(settings: UpSettings) -> str:
    """Where this node's own processes find the embedded Temporal."""
    return f"{LOOPBACK}:{settings.temporal_port}"


def api_url(settings: UpSettings) -> str:
    """Where the API listens."""
    return f"http://{local_host(settings)}:{settings.api_port}"


def local_host(settings: UpSettings) -> str:
    """The address at which this node's own processes find the API."""
    return LOOPBACK if settings.bind in EVERY_ADDRESS else settings.bind


def forwarded_ports(settings: UpSettings) -> list[int]:
    """Ports of the parts that hosts must reach and that listen on loopback alone."""
    if settings.bind in {LOOPBACK, *EVERY_ADDRESS}:
        return []
    return [settings.temporal_port, *([settings.siem_port] if settings.siem_port else [])]


def advertised_host(settings: UpSettings) -> str:
    """The address at which hosts reach this node: as set, or the one that it listens on.

    Raises:
        SettingsInvalid: it listens on every address, and nobody said which of them hosts are to use.
    """
    if "advertise_host" in settings.model_fields_set:
        return settings.advertise_host
    if settings.bind in EVERY_ADDRESS:
        raise SettingsInvalid(
            f"With --bind {settings.bind} hosts must be told one address of this node, and none is named.",
            hint="Name it with --advertise-host: isolated hosts keep exactly this address reachable.",
        )
    return settings.bind


def write_node(settings: UpSettings, supervisor: Supervisor) -> None:
    """Say what runs where, atomically."""
    node = {
        "api_url": api_url(settings),
        "temporal_address": temporal_address(settings),
        "pids": supervisor.pids(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(),
    }
    partial = settings.state_dir / f"{NODE}.{secrets.token_hex(4)}"
    partial.write_text(json.dumps(node, indent=2), encoding="utf-8")
    partial.replace(settings.state_dir / NODE)


async def keep_running(settings: UpSettings, supervisor: Supervisor) -> None:
    """Start the parts; then keep `node.json` true when one came back with another process id."""
    await start_parts(settings, supervisor)
    written: dict[str, int] = {}
    async with forwarding(settings.bind, forwarded_ports(settings)):
        log.info("firebreak is up", api=api_url(settings), state=str(settings.state_dir))
        while True:
            if supervisor.pids() != written:
                written = supervisor.pids()
                write_node(settings, supervisor)
            await asyncio.sleep(0.2)


def write_secret(path: Path, secret: str) -> None:
    """A file that its owner alone may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret + "\n")
