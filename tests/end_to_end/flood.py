"""Many bytes in few packets from one host of the lab to another: numbered UDP datagrams of 60 kB at a pace.

Owns the width of the links on the way, the sender, and reading its numbers back from a capture. Bounded in bytes; never
answered, and the policy of the lab drops them behind the capture.

    widen(lab, "app", "web")
    sender = start(lab, "app", "web", octets=150_000_000, port=9_001)
    numbers(path, 9_001)     # -> {0, 1, 2, ...}

    python -m tests.end_to_end.flood ADDRESS PORT DATAGRAMS DATAGRAMS_PER_SECOND
"""

import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import dpkt

from lab.network import Lab
from lab.topology import DATA_BRIDGE, DATA_INTERFACE, namespace_of

PAYLOAD_BYTES = 60_000
_MTU = "65000"
_NUMBER = struct.Struct("!Q")
_IPV4, _UDP = b"\x08\x00", 17
_BATCH_SECONDS = 0.005


def datagrams(octets: int) -> int:
    """How many make so many bytes."""
    return octets // PAYLOAD_BYTES


def widen(lab: Lab, *hosts: str) -> None:
    """Let such packets through whole."""
    switch = ("ip", "-n", namespace_of(lab.name, "net"), "link", "set")
    for port in (*(f"{host}.{DATA_INTERFACE}" for host in hosts), DATA_BRIDGE):
        subprocess.run((*switch, port, "mtu", _MTU), check=True)
    for host in hosts:
        lab[host].run(["ip", "link", "set", DATA_INTERFACE, "mtu", _MTU])


def start(lab: Lab, source: str, target: str, *, octets: int, octets_per_second: int, port: int) -> "Flooding":
    """Begin to send."""
    numbers = (str(port), str(datagrams(octets)), str(datagrams(octets_per_second)))
    command = [sys.executable, "-m", "tests.end_to_end.flood", lab[target].ipv4, *numbers]
    return Flooding(lab[source].popen(command, log=lab[source].state_dir / f"flood-{port}.log"))


class Flooding:
    """A sender that ends by itself."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it still sends."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Until all is sent."""
        assert self._process.wait(seconds) == 0, "see its log"


def numbers(path: Path, port: int) -> set[int]:
    """Which datagrams a capture holds, whole."""
    with path.open("rb") as file:
        found = [_number(frame, port) for _, frame in dpkt.pcapng.Reader(file)]
    return {number for number in found if number is not None}


def _number(frame: bytes, port: int) -> int | None:
    head = 14 + 20 + 8
    if len(frame) != head + PAYLOAD_BYTES or frame[12:14] != _IPV4 or frame[23] != _UDP:
        return None
    return int(_NUMBER.unpack_from(frame, head)[0]) if int.from_bytes(frame[36:38]) == port else None


def send(address: str, port: int, count: int, per_second: int) -> None:
    """In small batches, so that the pace is even."""
    filling = bytes(PAYLOAD_BYTES - _NUMBER.size)
    sent, begun = 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect((address, port))
        while sent < count:
            due = min(count, int((time.monotonic() - begun) * per_second))
            for number in range(sent, due):
                link.send(_NUMBER.pack(number) + filling)
            sent = max(sent, due)
            time.sleep(_BATCH_SECONDS)


if __name__ == "__main__":
    send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
