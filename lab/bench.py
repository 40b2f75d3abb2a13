"""`firebreak bench`: time to contain beside the durable floor, in one run on one machine.

Owns the measurement of many incidents, one after another, with the flight recorder running. Prints ratios: a slow day
slows both sides.
"""

import json
import os
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from pydantic import Field
from rich.console import Console
from rich.table import Table

from lab import cast
from lab.bench_capture import measure_captures, show_captures
from lab.bench_platforms import PlatformBench, PlatformFigures
from lab.bench_upload import bench_uploads
from lab.control import ControlPlane
from lab.errors import LabError
from lab.floor import measure_floor
from lab.hops import HOPS, hops_ms
from lab.network import Lab
from lab.platforms import Platforms
from lab.prober import Prober
from lab.waiting import wait_until
from lab.webhook import Sender
from segmentation.workloads import Frozen, Workload

TARGET_RATIO = 2.5
PLAYBOOK = """\
name: bench
title: Contain at once, collect, release
match: {rules: ["Bench*"]}
contain: {lease: {ttl_seconds: 60, ends: open}, max_targets: 10}
forensics: {capture_seconds: 1, budget_seconds: 5, collect: [sockets]}
remediate: {action: none}
release: {when: decision}
"""
# More than a site would ever allow: it is the machine that is measured.
SAFEGUARDS = "limits: {per_hour: 100000}\n"
PLATFORM_ROUNDS = 5
# As far away as an AWS endpoint is within its region or the next: the server here is one process on the same machine,
# which a real one is not, and would make ten targets wait for each other's processor time alone.
AWS_DISTANCE_MS = 50


class BenchResult(Frozen):
    """The figures; milliseconds."""

    incidents: int
    time_to_contain_ms: float
    time_to_contain_p95_ms: float
    durable_floor_ms: float
    ratio: float = Field(description="Time to contain over durable floor, both medians.")
    within_target: bool
    hops_ms: dict[str, float]
    packets_before_the_cut: int = Field(description="Packets in the flight recorder's frozen rings, all incidents.")
    packets_dropped: int
    samples_ms: tuple[float, ...]
    floor_samples_ms: tuple[float, ...]
    kubernetes: PlatformFigures
    aws: PlatformFigures


def run_bench(directory: Path, *, incidents: int) -> int:
    """Measure and print; 0 if the ratios are within their targets."""
    directory = directory.resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    console = Console()
    with (
        # Namespaces are made by a child process: before any thread runs here, the status line's among them.
        Lab.create("fbbench", state_dir=directory / "hosts") as lab,
        console.status("starting a cluster and an account") as status,
        Platforms(directory / "platforms", aws_distance_ms=AWS_DISTANCE_MS) as platforms,
    ):
        result = Bench(lab, platforms, directory, status.update).run(incidents)
    # Afterwards: nothing else is to weigh on it, nor it on anything else.
    with console.status("capturing at rising rates"):
        captures = measure_captures(directory / "captures")
    (directory / "bench.json").write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (directory / "captures.json").write_text(
        json.dumps([row.model_dump() for row in captures]) + "\n", encoding="utf-8"
    )
    show(console, result)
    show_captures(console, captures)
    uploads_within_target = bench_uploads(console, directory)
    return 0 if result.within_target and uploads_within_target else 1


class Bench:
    """Many incidents in one lab."""

    def __init__(self, lab: Lab, platforms: Platforms, directory: Path, tell: Any) -> None:
        self._lab, self._platforms, self._directory, self._tell = lab, platforms, directory, tell
        playbooks = directory / "playbooks"
        playbooks.mkdir()
        (playbooks / "bench.yaml").write_text(PLAYBOOK, encoding="utf-8")
        self._control = ControlPlane(lab, directory / "control")
        safeguards = directory / "safeguards.yaml"
        safeguards.write_text(SAFEGUARDS, encoding="utf-8")
        self._environment = {
            "FIREBREAK_PLAYBOOK_DIR": str(playbooks),
            "FIREBREAK_SAFEGUARDS_FILE": str(safeguards),
            **platforms.environment,
        }
        self._packets = self._dropped = 0

    def run(self, incidents: int) -> BenchResult:
        """Floor, incidents, floor again: what else the machine does weighs on both."""
        cast.start_services(self._lab)
        cast.start_denials(self._lab)
        self._tell("starting the control plane")
        self._control.start(environment=self._environment)
        self._control.join_agents()
        self._sender = Sender.create(self._control, "bench")
        with self._control.client() as api:
            with Prober(self._lab) as prober:
                intruder = cast.start_intruder(self._lab)
                floor = self._floor(10)
                samples, hops = self._measure(prober, api, incidents)
                floor += self._floor(10)
            # A thousand packets a second on their way through every recorder are the host's figure, not theirs.
            os.killpg(intruder.pid, signal.SIGKILL)
            platforms = PlatformBench(self._platforms, self._sender, api, self._await)
            self._tell("pods: one, and ten of one incident")
            pods = platforms.pods(PLATFORM_ROUNDS)
            self._tell("instances: one, and ten of one incident")
            instances = platforms.instances(PLATFORM_ROUNDS)
        return _result(samples, hops, floor, (self._packets, self._dropped), (pods, instances))

    def _floor(self, count: int) -> list[float]:
        self._tell(f"measuring the durable floor, {count} times")
        host = self._lab["web"]
        web = Workload(workload_id=host.machine_id, name=host.name)
        return measure_floor(self._control.state_dir, self._control.node()["temporal_address"], web, count)

    def _measure(self, prober: Prober, api: httpx.Client, incidents: int) -> tuple[list[float], list[dict[str, float]]]:
        samples: list[float] = []
        hops: list[dict[str, float]] = []
        for number in range(-1, incidents):
            self._tell(f"incident {number + 1} of {incidents}")
            took, shares = self._one(prober, api)
            if number >= 0:  # the first one warms up caches on every hop
                samples.append(took)
                hops.append(shares)
        return samples, hops

    def _one(self, prober: Prober, api: httpx.Client) -> tuple[float, dict[str, float]]:
        sent_ns, incident_id = self._sender.send(rule="Bench", host="web", destination=self._lab["db"].ipv4)
        wait_until(lambda: prober.first_blocked_ns() is not None, 20, "the cut")
        incident = self._await(api, incident_id, lambda i: i["stage"] == "release" and bool(i["waiting_for"]))
        blocked_ns = prober.first_blocked_ns()
        if blocked_ns is None:
            raise LabError(f"incident {incident_id} let packets through again before its release")
        self._count(incident)
        api.post(f"/v1/incidents/{incident_id}/release", json={"reason": "measured"}).raise_for_status()
        self._await(api, incident_id, lambda i: i["status"] == "closed")
        wait_until(lambda: prober.first_blocked_ns() is None, 20, "packets after the release")
        received = datetime.fromisoformat(incident["first_alert"]["received_at"])
        address = self._control.node()["temporal_address"]
        shares = hops_ms(self._control.state_dir, address, f"incident-{incident_id}", sent_ns, received, blocked_ns)
        return (blocked_ns - sent_ns) / 1e6, shares

    def _await(self, api: httpx.Client, incident_id: str, condition: Any, seconds: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            incident: dict[str, Any] = api.get(f"/v1/incidents/{incident_id}").raise_for_status().json()
            if condition(incident):
                return incident
            if time.monotonic() > deadline:
                raise LabError(f"incident {incident_id} stays in {incident['stage']}", hint=f"Logs: {self._directory}")
            time.sleep(0.05)

    def _count(self, incident: dict[str, Any]) -> None:
        for item in incident["evidence"]:
            acquired = item["acquisition"]
            self._packets += acquired["packets_captured"] or 0
            self._dropped += (acquired["packets_dropped_kernel"] or 0) + (acquired["packets_dropped_interface"] or 0)


def _result(
    samples: list[float],
    hops: list[dict[str, float]],
    floor: list[float],
    packets: tuple[int, int],
    platforms: tuple[PlatformFigures, PlatformFigures],
) -> BenchResult:
    ratio = median(samples) / median(floor)
    return BenchResult(
        incidents=len(samples),
        time_to_contain_ms=median(samples),
        time_to_contain_p95_ms=sorted(samples)[int(len(samples) * 0.95)],
        durable_floor_ms=median(floor),
        ratio=ratio,
        within_target=ratio <= TARGET_RATIO,
        hops_ms={name: median(h[name] for h in hops) for name in HOPS},
        packets_before_the_cut=packets[0],
        packets_dropped=packets[1],
        kubernetes=platforms[0],
        aws=platforms[1],
        samples_ms=tuple(samples),
        floor_samples_ms=tuple(floor),
    )


def show(console: Console, result: BenchResult) -> None:
    """Both figures side by side, and the share of each hop."""
    table = Table(title=f"Time to contain, {result.incidents} incidents (medians)")
    table.add_column("hop")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for name, spent in result.hops_ms.items():
        bar = "█" * round(spent / result.time_to_contain_ms * 30)
        table.add_row(name, f"{spent:.1f}", f"{spent / result.time_to_contain_ms:4.0%} {bar:<30}")
    table.add_section()
    table.add_row(
        "webhook sent -> first packet blocked",
        f"[bold]{result.time_to_contain_ms:.1f}",
        f"p95 {result.time_to_contain_p95_ms:.1f}",
    )
    table.add_row("durable floor: one empty order", f"{result.durable_floor_ms:.1f}", "")
    verdict = "[green]within" if result.within_target else "[red]over"
    table.add_row("ratio", f"[bold]{result.ratio:.2f}", f"{verdict} {TARGET_RATIO}")
    console.print(table)
    console.print(
        f"flight recorder: {result.packets_before_the_cut} packets in evidence, {result.packets_dropped} dropped",
    )
    show_platforms(console, result)
    console.print(json.dumps({"ratio": round(result.ratio, 3)}))


def show_platforms(console: Console, result: BenchResult) -> None:
    """One and ten targets of each platform, beside the host."""
    table = Table(title="Time to contain by platform (medians)")
    for column in ("target", "effect", "one, ms", "ten of one incident, ms", "ratio"):
        table.add_column(column, justify="left" if column in ("target", "effect") else "right")
    table.add_row("host", "first packet blocked", f"{result.time_to_contain_ms:.1f}", "", "")
    effects = {
        "pod": ("a watch shows it", result.kubernetes),
        f"EC2 instance, {AWS_DISTANCE_MS} ms a call": ("all interfaces read back", result.aws),
    }
    for name, (effect, figures) in effects.items():
        times = f"{figures.time_to_contain_ms:.1f}", f"{figures.ten_targets_ms:.1f}", f"{figures.ratio_of_ten:.2f}"
        table.add_row(name, effect, *times)
    console.print(table)
