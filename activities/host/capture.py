"""One packet capture as one process: dumpcap, or tcpdump in its place.

Owns the moment from which it really captures, its orderly end, and what it says of loss. Its command line is in
`capture_tools`; when to capture is decided by `activities.host.recorder`. Needs CAP_NET_RAW and CAP_NET_ADMIN.

    capture = Capture.start(ring_command(settings, place, folder), folder / LOG_FILE)
    capture.wait_until_capturing(timeout=3)
    capture.stop()           # in order: its counters are written
"""

import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Self

from activities.host.processes import stat

# dumpcap hands over what the kernel has after at most this long (CAP_READ_TIMEOUT in dumpcap.c is 250 ms); a
# capture that is stopped sooner after a packet came may leave that packet in the kernel's buffer.
READ_TIMEOUT_SECONDS = 0.25
LOG_FILE = "capture.log"
_CAPTURING = re.compile(rb"^(?:File: |tcpdump: listening on )", re.MULTILINE)
# Written, and lost by each part on the way; printed once for each interface.
_COUNTERS = re.compile(rb"on interface '.*': (\d+)/\d+ \(pcap:(\d+)/dumpcap:(\d+)/flushed:(\d+)/ps_ifdrop:(\d+)\)")
_TCPDUMP_COUNTERS = re.compile(
    rb"^(\d+) packets? captured\n(\d+) packets? received by filter\n(\d+) packets? dropped by kernel"
    rb"(?:\n(\d+) packets? dropped by interface)?",
    re.MULTILINE,
)
_NO_COMPLAINT = ("tcpdump: listening on ", "tcpdump: verbose output")
_SPEAKERS = ("dumpcap:", "tcpdump:", "setpriv:", "nsenter:")
_COUNTED = re.compile(r"Packets |\d+ packets? ")
_LONGEST_COMPLAINT = 500
_POLL_SECONDS = 0.005


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
            FileNotFoundError: neither dumpcap nor tcpdump is installed.
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
        """Whether it captures. The tools say what they do after the interface is open and its filter set."""
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
    """The last thing it said of what is wrong, to the end of its paragraph; empty when it said nothing."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.split("\n")]
    said = [n for n, line in enumerate(lines) if line.startswith(_SPEAKERS) and not line.startswith(_NO_COMPLAINT)]
    if not said:
        return ""
    paragraph = takewhile(lambda line: line and not _COUNTED.match(line), lines[said[-1] :])
    return " ".join(paragraph)[:_LONGEST_COMPLAINT]


def counters(log: Path) -> Counters | None:
    """What it printed at its end; None while it runs, or when it was killed.

    A ring gets no statistics blocks from dumpcap 4.0: here is the only place where its loss is told.
    """
    text = log.read_bytes() if log.exists() else b""
    found = _COUNTERS.findall(text)
    if found:
        captured, kernel, queue, flushed, interface = (sum(map(int, column)) for column in zip(*found, strict=True))
        return Counters(captured, dropped_kernel=kernel + queue, dropped_interface=interface, cut_off=flushed)
    if plain := _TCPDUMP_COUNTERS.search(text):
        return Counters(int(plain[1]), dropped_kernel=int(plain[3]), dropped_interface=int(plain[4] or 0))
    return None
