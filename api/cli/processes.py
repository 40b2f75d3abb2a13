"""Commands that run a process: serve, worker, agent, up, doctor, demo, bench.

Owns their options. What they do is in `api.processes` and `lab`; heavy imports wait until a command needs them.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop

from api.logging import configure
from api.settings import AgentSettings, ServeSettings, TargetWorkerSettings, UpSettings, WorkerSettings, load

Config = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
StateDir = Annotated[Path | None, typer.Option(help="Keys, ledger, vault, logs.")]


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    for command in (serve, worker, agent, up, doctor, demo, bench):
        app.command()(command)


def serve(config: Config = None, state_dir: StateDir = None) -> None:
    """Serve the API: intake, incidents, decisions, evidence."""
    from api.processes.serve import run_serve

    settings = load(ServeSettings, config, state_dir=state_dir)
    configure(settings.log_format, settings.log_level)
    _run(run_serve(settings), signals=False)


def worker(
    config: Config = None,
    state_dir: StateDir = None,
    role: Annotated[
        Literal["control", "aws", "kubernetes"],
        typer.Option(help="control: workflows, SIEM, ledger; else kill-switch and evidence of that platform alone."),
    ] = "control",
    token_file: Annotated[
        Path | None,
        typer.Option(help="Join token, for a platform's worker on another machine: it joins at FIREBREAK_API_URL."),
    ] = None,
) -> None:
    """Run workflows and control activities, or the kill-switch and the collectors of one platform."""
    if role != "control":
        from api.processes.target_worker import run_target_worker

        chosen = load(TargetWorkerSettings, config, state_dir=state_dir)
        configure(chosen.log_format, chosen.log_level)
        _run(run_target_worker(chosen, role, token_file))
        return
    from api.processes.worker import run_worker

    settings = load(WorkerSettings, config, state_dir=state_dir)
    configure(settings.log_format, settings.log_level)
    _run(run_worker(settings))


def agent(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    config: Config = None,
    state_dir: StateDir = None,
    join: Annotated[str | None, typer.Option(help="URL of the API to join.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="FIREBREAK_JOIN_TOKEN", help="Join token; as an option, ps shows it.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the join token; - for standard input.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of this host; default: its hostname.")] = None,
    recorder: Annotated[bool | None, typer.Option(help="Keep the flight recorder running.")] = None,
    reapply: Annotated[bool, typer.Option("--reapply", help="Only load again what has to stand, then end.")] = False,
) -> None:
    """Take orders for this host. Needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON."""
    settings = load(AgentSettings, config, state_dir=state_dir, name=name, recorder=recorder)
    configure(settings.log_format, settings.log_level)
    if reapply:
        from api.processes.reapply import run_reapply

        raise typer.Exit(run_reapply(settings))
    from api.processes.agent import run_agent

    if token and token_file:
        raise typer.BadParameter("name one of --token (or FIREBREAK_JOIN_TOKEN) and --token-file")
    _run(run_agent(settings, join, token or token_file))


def up(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    config: Config = None,
    state_dir: StateDir = None,
    api_port: Annotated[int | None, typer.Option(help="Port of the API.")] = None,
    bind: Annotated[str | None, typer.Option(help="Address that the API listens on.")] = None,
    temporal_port: Annotated[int | None, typer.Option(help="Port of the embedded Temporal.")] = None,
    siem_port: Annotated[int | None, typer.Option(help="Port of the embedded SIEM; 0: none.")] = None,
    siem_url: Annotated[str | None, typer.Option(help="URL of a SIEM of yours.")] = None,
    advertise_host: Annotated[str | None, typer.Option(help="Address at which hosts reach this node.")] = None,
    log_group: Annotated[int | None, typer.Option(help="NFLOG group that hears of what is dropped.")] = None,
    detect_every: Annotated[int | None, typer.Option(help="Seconds between runs of the detections; 0: never.")] = None,
) -> None:
    """Run one node with everything embedded; hosts join it with `firebreak agent --join`."""
    from api.processes.up import run_up

    settings = load(
        UpSettings,
        config,
        state_dir=state_dir,
        api_port=api_port,
        bind=bind,
        temporal_port=temporal_port,
        siem_port=siem_port,
        siem_url=siem_url,
        advertise_host=advertise_host,
        log_group=log_group,
        detect_every_seconds=detect_every,
    )
    configure(settings.log_format, settings.log_level)
    _run(run_up(settings), signals=False)


def doctor(
    config: Config = None,
    state_dir: StateDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is missing or unreachable, why, and what to do."""
    from api.processes.doctor import examine

    settings = load(UpSettings, config, state_dir=state_dir)
    raise typer.Exit(asyncio.run(examine(settings, as_json=as_json)))


def demo(
    pause: Annotated[bool, typer.Option(help="Stop at the gate, so that you can decide.")] = False,
    directory: Annotated[Path, typer.Option(help="Where the demo leaves its report and figures.")] = Path("var/demo"),
) -> None:
    """Watch an intruder being stopped: real packets, a real capture, a real decision, a report to open."""
    from lab.demo import run_demo

    _end_in_order()
    raise typer.Exit(run_demo(directory, pause=pause))


def bench(
    incidents: Annotated[int, typer.Option(help="How many incidents to measure.")] = 20,
    directory: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("var/bench"),
) -> None:
    """Measure time to contain beside the durable floor, in one run."""
    from lab.bench import run_bench

    _end_in_order()
    raise typer.Exit(run_bench(directory, incidents=incidents))


def _end_in_order() -> None:
    """SIGTERM like Ctrl-C: the lab is taken down before the process ends.

    By this process alone: one that was forked from it and is told to end (pyroute2 does so with its helpers) would take
    the lab down in our stead.
    """
    owner = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def _run(process: Coroutine[Any, Any, None], *, signals: bool = True) -> None:
    """Run until it ends; with `signals`, SIGTERM and SIGINT cancel it in order."""

    async def main() -> None:
        task = asyncio.ensure_future(process)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    uvloop.run(main())
