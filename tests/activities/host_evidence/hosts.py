"""Two hosts as network namespaces on one wire, agents in them, and packets between them."""

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import dpkt
from pyroute2 import netns

from activities.contracts.collecting import Collected
from activities.contracts.evidence import CollectedItem
from activities.host.frozen import RecorderStatus

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[3]
PORTS = itertools.count(20_000)
INTERFACE = "eth0"
RECORDER: dict[str, Any] = {
    "enabled": True,
    "kernel_events": False,
    "packets": {
        "interfaces": [INTERFACE],
        "buffer_mib": 4,
        "ring_files": 4,
        "ring_file_kib": 512,
        "ring_file_seconds": 60,
    },
}


@dataclass(frozen=True)
class Host:
    """One end of the wire."""

    name: str
    namespace: str
    address: str

    def run(self, *command: str, check: bool = True) -> str:
        inside = ("ip", "netns", "exec", self.namespace, *command)
        done = subprocess.run(inside, capture_output=True, text=True, timeout=20, check=check)
        return done.stdout

    def call(self, function: Callable[[], T]) -> T:
        """In a thread that has moved inside; setns(2) moves one thread only."""

        def enter_and_call() -> T:
            netns.setns(self.namespace, flags=0)
            return function()

        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(enter_and_call).result()

    @contextmanager
    def agent(self, folder: Path, **config: Any) -> Iterator["Agent"]:
        agent = Agent(self, folder, config)
        try:
            yield agent
        finally:
            agent.end()


@contextmanager
def wire() -> Iterator[tuple[Host, Host]]:
    """Two hosts, one link; gone afterwards."""
    hosts = tuple(Host(name, f"ev{os.getpid()}{name}", f"10.77.99.{n}") for n, name in ((1, "left"), (2, "right")))
    left, right = hosts
    try:
        for host in hosts:
            subprocess.run(("ip", "netns", "add", host.namespace), check=True)
        ends = ("netns", left.namespace, "type", "veth", "peer", "name", INTERFACE, "netns", right.namespace)
        subprocess.run(("ip", "link", "add", INTERFACE, *ends), check=True)
        for host in hosts:
            for command in (
                f"addr add {host.address}/24 dev {INTERFACE}",
                "link set lo up",
                f"link set {INTERFACE} up",
            ):
                subprocess.run(("ip", "-n", host.namespace, *command.split()), check=True)
        yield left, right
    finally:
        for host in hosts:
            subprocess.run(("ip", "netns", "del", host.namespace), check=False, capture_output=True)


class Agent:
    """The evidence part of an agent, as its tests hold it."""

    def __init__(self, host: Host, folder: Path, config: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.vault = folder, folder / "vault"
        self.log = folder / "agent.log"
        whole = {
            "host_id": "0123456789abcdef",
            "host": host.name,
            "state": str(folder / "state"),
            "vault": str(self.vault),
            "recorder": RECORDER,
        } | config
        program = (sys.executable, "-m", "tests.activities.host_evidence.agent", json.dumps(whole))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ("ip", "netns", "exec", host.namespace, *program),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                text=True,
            )
        self.took = float(self._answer()["started"])

    def freeze(self, incident: str, seconds: int = 2) -> tuple[CollectedItem, ...]:
        return self._collected("freeze", incident=incident, seconds=seconds)

    def finish(self, incident: str, seconds: int = 2) -> tuple[CollectedItem, ...]:
        return self._collected("finish", incident=incident, seconds=seconds)

    def collect(
        self, incident: str, *collectors: str, budget: int = 20, order: str = "c", **more: Any
    ) -> tuple[CollectedItem, ...]:
        return self._collected("collect", incident=incident, collectors=collectors, budget=budget, order=order, **more)

    def status(self) -> RecorderStatus:
        return RecorderStatus.model_validate(self.do("status"))

    def ready(self) -> RecorderStatus:
        return RecorderStatus.model_validate(self.do("ready"))

    def artefact(self, incident: str, item: CollectedItem) -> Path:
        return self.vault / "case" / incident / "artefacts" / f"{item.evidence_id}@{item.name}"

    def do(self, verb: str, **arguments: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.took = float(answer["took"])
        return answer["result"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(15)
        self.process.stdout.close()

    def _collected(self, verb: str, **arguments: Any) -> tuple[CollectedItem, ...]:
        return Collected.model_validate(self.do(verb, **arguments)).items

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer


class Numbered:
    """UDP packets with numbers, sent at a steady rate from one host to another until left."""

    def __init__(self, sender: Host, target: Host, per_second: int) -> None:
        self._sender, self._target, self._pause = sender, target, 1 / per_second
        self.port = next(PORTS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: sender.call(self._send))
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait_for(self, count: int) -> None:
        while self.sent < count:
            time.sleep(0.01)

    def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            due = time.monotonic()
            while not self._stopping.is_set():
                link.sendto(self.sent.to_bytes(4, "big"), (self._target.address, self.port))
                self.sent += 1
                due += self._pause
                time.sleep(max(0.0, due - time.monotonic()))


def numbers_in(paths: Iterable[Path], stream: Numbered) -> set[int]:
    """The numbers of a stream's packets in captures, read by an independent reader."""
    found = set()
    for path in paths:
        with path.open("rb") as file:
            for _, frame in dpkt.pcapng.Reader(file):
                packet = dpkt.ethernet.Ethernet(frame).data
                datagram = packet.data if isinstance(packet, dpkt.ip.IP) else None
                if isinstance(datagram, dpkt.udp.UDP) and datagram.dport == stream.port:
                    found.add(int.from_bytes(datagram.data, "big"))
    return found


def capinfos(path: Path) -> dict[str, str]:
    """What Wireshark's own tool says of a capture, by its labels."""
    done = subprocess.run(("capinfos", "-M", str(path)), capture_output=True, text=True, check=True)
    lines = [line.partition(":") for line in done.stdout.splitlines() if ":" in line]
    return {label.strip(): value.strip() for label, _, value in lines}
