"""dumpcap: one packet capture as one process.

Owns its command line, the moment from which it really captures, and its orderly end. Never decides when to
capture: `activities.host.recorder` does. Needs CAP_NET_RAW and CAP_NET_ADMIN.

    capture = Capture.start(ring_command(settings, folder), folder / "dumpcap.log")
    capture.wait_until_capturing(timeout=3)
    capture.stop()           # writes the interface statistics
"""

import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from activities.host.processes import stat
from segmentation.workloads import Frozen

# dumpcap hands over what the kernel has after at most this long (CAP_READ_TIMEOUT in dumpcap.c is 250 ms); a
# capture that is stopped sooner after a packet came may leave that packet in the kernel's buffer.
READ_TIMEOUT_SECONDS = 0.25
_CAPTURING = re.compile(rb"^File: ", re.MULTILINE)
# Written, and lost by each part on the way; printed once for each interface.
_COUNTERS = re.compile(rb"on interface '.*': (\d+)/\d+ \(pcap:(\d+)/dumpcap:(\d+)/flushed:(\d+)/ps_ifdrop:(\d+)\)")
_POLL_SECONDS = 0.005


class PacketSettings(Frozen):
    """What is captured and how much of it may stay on this host."""

    interfaces: tuple[str, ...] = Field(description="Data interfaces; never `any`, which has no counters of loss.")
    capture_filter: str = Field(default="", description="libpcap syntax; leave the management link out by it.")
    buffer_mib: int = Field(default=16, ge=1, le=1024, description="Kernel buffer of each interface.")
    ring_files: int = Field(default=8, ge=2, le=1000)
    ring_file_kib: int = Field(default=16_384, ge=64, le=1 << 22)
    ring_file_seconds: int = Field(default=60, ge=1, le=86_400)
    capture_max_kib: int = Field(default=1 << 20, ge=64, description="End of a full-length capture by size.")


def ring_command(settings: PacketSettings, folder: Path) -> tuple[str, ...]:
    """Files by time and size, the oldest replaced. dumpcap gives no capture comment to a ring."""
    limits = (
        f"filesize:{settings.ring_file_kib}",
        f"duration:{settings.ring_file_seconds}",
        f"files:{settings.ring_files}",
    )
    ring = [part for limit in limits for part in ("-b", limit)]
    # A ring that nobody watches over any more ends by itself, in order, counters written.
    guard = ("setpriv", "--pdeathsig", "INT", "--")
    return (*guard, *_base(settings), *ring, "-w", str(folder / "ring.pcapng"))


def full_command(settings: PacketSettings, target: Path, *, comment: str, seconds: int) -> tuple[str, ...]:
    """One file that ends by itself after so long, whatever becomes of the agent."""
    ends = ("-a", f"duration:{seconds}", "-a", f"filesize:{settings.capture_max_kib}")
    return (*_base(settings), *ends, "--capture-comment", comment, "-w", str(target))


def _base(settings: PacketSettings) -> tuple[str, ...]:
    options: list[str] = ["dumpcap", "-q", "-n"]
    for interface in settings.interfaces:
        # -p: what this host sees anyway; promiscuous mode would show in the kernel's log and to the intruder.
        options += ["-i", interface, "-p", "-s", "0", "-B", str(settings.buffer_mib)]
        options += ["-f", settings.capture_filter] if settings.capture_filter else []
    return tuple(options)


@dataclass(frozen=True)
class Counters:
    """What a capture lost, over all its interfaces; `captured` counts what went to its files.

    `cut_off`: packets that were still on their way to the file when the capture ended. With several
    interfaces dumpcap has a queue before its file, and leaves it as it is at the end; nothing is lost
    within the capture by that.
    """

    captured: int
    dropped_kernel: int
    dropped_interface: int
    cut_off: int = 0


class Capture:
    """A running dumpcap and its log."""

    def __init__(self, process: subprocess.Popen[bytes], command: Sequence[str], log: Path) -> None:
        self.process, self.command, self.log = process, tuple(command), log
        found = stat(process.pid)
        self.start_ticks = found.start_ticks if found else 0

    @classmethod
    def start(cls, command: Sequence[str], log: Path) -> Self:
        """Start it in a session of its own: Ctrl-C on the agent's terminal is not its end.

        Raises:
            FileNotFoundError: dumpcap is not installed.
        """
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        return cls(process, command, log)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_until_capturing(self, timeout: float) -> bool:
        """Whether it captures. dumpcap names its file after the interface is open and its filter set."""
        deadline = time.monotonic() + timeout
        while not _CAPTURING.search(self.log.read_bytes()):
            if not self.running or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def stop(self, timeout: float = 5.0) -> bool:
        """End it in order; False when it had to be killed and its statistics are missing."""
        if self.running:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True


def still_runs(pid: int, start_ticks: int) -> bool:
    """Whether the process that was started then is still there; a later one of its pid is not it."""
    found = stat(pid)
    return found is not None and found.living and found.start_ticks == start_ticks


def complaint(log: Path) -> str:
    """The last thing dumpcap said of what is wrong; empty when it said nothing."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    said = [line.strip() for line in lines if line.startswith(("dumpcap:", "setpriv:", "The "))]
    return said[-1] if said else ""


def counters(log: Path) -> Counters | None:
    """What dumpcap printed at its end; None while it runs, or when it was killed.

    A ring gets no statistics blocks from dumpcap 4.0: here is the only place where its loss is told.
    """
    found = _COUNTERS.findall(log.read_bytes()) if log.exists() else []
    if not found:
        return None
    captured, kernel, queue, flushed, interface = (sum(map(int, column)) for column in zip(*found, strict=True))
    return Counters(captured, dropped_kernel=kernel + queue, dropped_interface=interface, cut_off=flushed)
