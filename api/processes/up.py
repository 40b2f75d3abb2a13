"""`firebreak up`: one node with everything embedded, on one machine.

Owns the order in which the parts start and stop, and `node.json`, where the node says what runs where. State stays in
the state directory: a restart goes on with every open incident.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
from datetime import UTC, datetime

import structlog

from api.processes.embedded import http_ready, siem_program, temporal_program, temporal_ready
from api.processes.forwarding import LOOPBACK, forwarding
from api.processes.node_addresses import EVERY_ADDRESS, api_url, forwarded_ports, temporal_address
from api.processes.node_environment import environment_of
from api.processes.node_start import alone, prepare
from api.processes.platform_roles import marked_ready, ready_mark, role_environment, roles_of
from api.processes.supervisor import Program, Supervisor, firebreak
from api.processes.worker_identity import admit_workers
from api.settings import UpSettings

log = structlog.get_logger(__name__)
NODE = "node.json"


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
