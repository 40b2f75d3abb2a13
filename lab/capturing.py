"""One capture to be measured: python -m lab.capturing KIND FOLDER BUFFER_MIB PORT.

Run inside a namespace of the bench. Says when it captures, and at the end of its input what each process spent.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activities.host.capture import LOG_FILE, Capture
from activities.host.capture_tools import PacketSettings
from activities.host.recorder import FlightRecorder, RecorderSettings

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 30.0


def main(kind: str, folder: Path, buffer_mib: int, port: int) -> None:
    """Capture until the input ends."""
    # Somebody takes the packets: an answer that nobody does would be captured as well.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("", port))
        running = _recorder if kind.startswith("recorder") else _plain
        with running(kind, folder, buffer_mib):
            before = _spent()
            _say(kind)
            sys.stdin.read()
            after = _spent()
        _say({name: round(after[name] - before.get(name, 0.0), 2) for name in after})


@contextmanager
def _recorder(kind: str, folder: Path, buffer_mib: int) -> Iterator[None]:
    events = kind.endswith("eBPF")
    if events:
        subprocess.run(("mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"), check=True)
    packets = PacketSettings(interfaces=("eth0",), buffer_mib=buffer_mib)
    settings = RecorderSettings(enabled=True, packets=packets, kernel_events=events)
    recorder = FlightRecorder(folder, settings, "bench")
    recorder.start()
    try:
        status = recorder.wait_until_recording(_START_SECONDS)
        if status.packets != "running" or (events and status.events != "running"):
            sys.exit(f"the recorder does not run: {status.packets_reason} {status.events_reason}")
        yield
    finally:
        recorder.stop()


@contextmanager
def _plain(kind: str, folder: Path, buffer_mib: int) -> Iterator[None]:
    options = ("-n", "-i", "eth0", "-p", "-s", "0")
    command = {
        "dumpcap": ("dumpcap", "-q", *options, "-B", str(buffer_mib), "-w", str(folder / "plain.pcapng")),
        "tcpdump": ("tcpdump", *options, "-Z", "root", "-B", str(buffer_mib * 1024), "-w", str(folder / "plain.pcap")),
    }[kind]
    capture = Capture.start(command, folder / LOG_FILE)
    try:
        if not capture.wait_until_capturing(_START_SECONDS):
            sys.exit((folder / LOG_FILE).read_text(encoding="utf-8"))
        yield
    finally:
        capture.stop()


def _spent() -> dict[str, float]:
    """CPU seconds of this process, which is the recorder's agent, and of its children, by name; proc(5)."""
    found: dict[str, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
            name, fields = text.partition("(")[2].rpartition(")")[0], text.rpartition(")")[2].split()
            pid, parent, ticks = int(path.parent.name), int(fields[1]), int(fields[11]) + int(fields[12])
            if os.getpid() in (pid, parent):
                name = "agent" if pid == os.getpid() else name
                found[name] = found.get(name, 0.0) + ticks / _TICKS
    return found


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
