"""What the flight recorder costs and loses beside plain dumpcap and tcpdump, at rising rates, in one run.

Owns two network namespaces of its own with one wire, UDP packets from one to the other, and the table. Nothing leaves
them. Loss is told by each tool's counters and by what is missing from its files. The processor time of eBPF programs is
spent by whoever sends and receives, so it shows in what the sender reaches, not in a column.

    rows = measure_captures(directory, rates=(1000, 5000), seconds=3)
    show_captures(Console(), rows)

Alone: python -m lab.bench_capture
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.table import Table

from activities.host.capture import counters
from activities.host.pcap import summarize_any
from lab.errors import LabCommandError
from segmentation.workloads import Frozen

AS_FAST_AS_IT_GOES = 0
RATES = (1_000, 5_000, 20_000, 50_000, AS_FAST_AS_IT_GOES)
SECONDS = 2.0
KINDS = ("recorder", "recorder + eBPF", "dumpcap", "tcpdump")
_PORT, _ADDRESSES = 9_999, ("10.79.0.1", "10.79.0.2")
# The same kernel buffer for everybody.
_BUFFER_MIB = 16
_SETTLE_SECONDS = 1.0


class CaptureFigures(Frozen):
    """One capture at one rate. CPU in seconds, by process, while packets came."""

    kind: str
    rate: int = Field(description="Packets a second that were asked for; 0: as many as the sender can.")
    sent: int
    seconds: float
    captured: int
    dropped: int | None = Field(description="As the tool counts; None: it was not told.")
    cpu_seconds: dict[str, float]

    @property
    def missing(self) -> int:
        """Sent and not in the files."""
        return max(0, self.sent - self.captured)


def measure_captures(
    directory: Path, rates: Sequence[int] = RATES, seconds: float = SECONDS, kinds: Sequence[str] = KINDS
) -> tuple[CaptureFigures, ...]:
    """Each kind at each rate, one after another."""
    with _wire() as (sender, receiver):
        return tuple(
            _measure(kind, rate, seconds, (sender, receiver), directory / f"{number}")
            for number, (rate, kind) in enumerate((rate, kind) for rate in rates for kind in kinds)
        )


def show_captures(console: Console, rows: Sequence[CaptureFigures]) -> None:
    """Side by side."""
    table = Table(title=f"Capture of UDP packets, {_BUFFER_MIB} MiB of kernel buffer each")
    for column in ("packets/s", "captured by", "sent", "captured", "dropped", "missing", "CPU", "CPU s by process"):
        table.add_column(column, justify="left" if column in ("captured by", "CPU s by process") else "right")
    before = None
    for row in rows:
        if before not in (None, row.rate):
            table.add_section()
        before = row.rate
        cpu = ", ".join(f"{name} {spent:.2f}" for name, spent in row.cpu_seconds.items())
        share = f"{sum(row.cpu_seconds.values()) / row.seconds:.0%}"
        dropped = "?" if row.dropped is None else str(row.dropped)
        sent_rate = f"{row.sent / row.seconds:,.0f}"
        table.add_row(sent_rate, row.kind, str(row.sent), str(row.captured), dropped, str(row.missing), share, cpu)
    console.print(table)


def _measure(kind: str, rate: int, seconds: float, ends: tuple[str, str], folder: Path) -> CaptureFigures:
    sender, receiver = ends
    folder.mkdir(parents=True)
    command = (sys.executable, "-m", "lab.capturing", kind, str(folder), str(_BUFFER_MIB), str(_PORT))
    with subprocess.Popen(
        ("ip", "netns", "exec", receiver, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as capturing:
        _answer(capturing)
        begun = time.monotonic()
        target = (_ADDRESSES[1], str(_PORT), str(rate), str(seconds))
        done = _run("ip", "netns", "exec", sender, sys.executable, "-m", "lab.flooding", *target)
        took = time.monotonic() - begun
        # What is still in a buffer counts as well.
        time.sleep(_SETTLE_SECONDS)
        assert capturing.stdin is not None  # noqa: S101  asked for above
        capturing.stdin.close()
        cpu = _answer(capturing)
    files = sorted(path for path in folder.rglob("*.pcap*") if path.is_file())
    logs = [found for path in folder.rglob("*.log") if (found := counters(path))]
    lost = sum(found.dropped_kernel + found.dropped_interface for found in logs) if logs else None
    captured = sum(summarize_any(path).packets for path in files)
    for path in files:
        path.unlink()
    return CaptureFigures(
        kind=kind,
        rate=rate,
        sent=int(done),
        seconds=max(seconds, took),
        captured=captured,
        dropped=lost,
        cpu_seconds=cpu,
    )


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None  # noqa: S101  asked for above
    line = process.stdout.readline()
    if not line:
        raise LabCommandError("the capture that was to be measured ended", hint="Its complaint is above.")
    return json.loads(line)


@contextmanager
def _wire() -> Iterator[tuple[str, str]]:
    names = (f"fbcap{os.getpid()}a", f"fbcap{os.getpid()}b")
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        ends = ("netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1])
        _run("ip", "link", "add", "eth0", *ends)
        for name, address in zip(names, _ADDRESSES, strict=True):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _run("ip", "-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise LabCommandError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="firebreak-bench-") as folder:
        show_captures(Console(width=150), measure_captures(Path(folder)))


if __name__ == "__main__":
    main()
