"""A host and its one peer: small enough to be built anew for every boot of the host.

The host's network namespace is its kernel: a reboot takes the namespace away with everything in it, and makes another.
"""

import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from lab.entering import within
from lab.host import LabHost
from lab.processes import Processes
from playbooks.host_isolation import LifelineEndpoint
from tests.activities.host.agents import LIFELINE_PORT, Agent

HOST, PEER = ("10.77.90.1", "fd77:90::1"), ("10.77.90.2", "fd77:90::2")
LIFELINE = tuple(LifelineEndpoint(purpose="temporal", address=ip_address(a), port=LIFELINE_PORT) for a in PEER)
OPEN, CUT = (2, 2), (0, 0)
_HOST_MAC, _PEER_MAC = "02:fb:00:90:00:01", "02:fb:00:90:00:02"
_UDP_PORT = 9000
# Far longer than a datagram takes between two ends of a veth pair.
_SILENCE_SECONDS = 0.15
_numbers = itertools.count(1)


class Pair:
    """Made by `with`; `boots` counts the boots of the host."""

    def __init__(self, state: Path) -> None:
        prefix = f"q{os.getpid()}n{next(_numbers)}"
        self.outer, self.inner, self.state, self.boots = f"{prefix}-p", f"{prefix}-h", state, 0
        self._agents: list[Agent] = []
        self.host = LabHost(
            name="host",
            namespace=self.inner,
            ipv4=HOST[0],
            ipv6=HOST[1],
            mgmt_ipv4=HOST[0],
            mgmt_ipv6=HOST[1],
            labels={},
            machine_id=f"{prefix}-host",
            state_dir=state,
            processes=Processes(lambda _: None),
        )

    def agent(self) -> Agent:
        """The host's agent of this boot, ended with the pair at the latest; its journal is that of all boots."""
        self._agents.append(Agent(self.host, self.state, boot_id=lambda: f"boot-{self.boots}"))
        return self._agents[-1]

    def boot(self) -> None:
        """A host with its network up, and no rules."""
        self.boots += 1
        run(f"ip netns add {self.inner}")
        run(f"ip -n {self.inner} link add eth0 address {_HOST_MAC} type veth peer eth0 netns {self.outer}")
        run(f"ip -n {self.outer} link set eth0 address {_PEER_MAC}")
        address(self.inner, HOST, PEER, _PEER_MAC)
        address(self.outer, PEER, HOST, _HOST_MAC)

    def python(self, *arguments: str, rights: Collection[str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a module of ours inside the host, as root, or as root with these rights alone."""
        limits = ["-all", *(f"+{right.removeprefix('CAP_').lower()}" for right in rights or ())]
        confined = ["setpriv", "--no-new-privs", f"--bounding-set={','.join(limits)}", "--"]
        command = [*(confined if rights is not None else ()), sys.executable, "-m", *arguments]
        argv = ["ip", "netns", "exec", self.inner, *command]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])

    def power_off(self) -> None:
        """Everything that the kernel of the host knew is gone."""
        run(f"ip -n {self.outer} link del eth0")
        run(f"ip netns del {self.inner}")

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    def talks(self) -> tuple[int, int]:
        """How many datagrams get out of the host and how many get in, one sent over each of IPv4 and IPv6."""
        with contextlib.ExitStack() as closing:
            ours = [closing.enter_context(bound(self.inner, address)) for address in HOST]
            theirs = [closing.enter_context(bound(self.outer, address)) for address in PEER]
            for inner, outer, near, far in zip(ours, theirs, HOST, PEER, strict=True):
                with contextlib.suppress(PermissionError):  # what an output chain's drop looks like
                    inner.sendto(b"out", (far, _UDP_PORT))
                outer.sendto(b"in", (near, _UDP_PORT))
            heard = hear([*ours, *theirs])
        return len(heard & set(theirs)), len(heard & set(ours))

    def __enter__(self) -> Self:
        run(f"ip netns add {self.outer}")
        self.boot()
        self._server: socket.socket = within(self.outer, listen)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self._agents:
            agent.stop()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for namespace in (self.inner, self.outer):
            subprocess.run(["ip", "netns", "del", namespace], check=False)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._server.accept()[0].close()


def run(command: str, stdin: str = "") -> None:
    subprocess.run(command.split(), input=stdin, text=True, check=True)


def address(namespace: str, ours: tuple[str, str], theirs: tuple[str, str], mac: str) -> None:
    """Addresses of one end; it knows the other without asking, so that a first datagram is as quick as any."""
    commands = [
        "link set lo up",
        f"addr add {ours[0]}/24 dev eth0",
        f"addr add {ours[1]}/64 dev eth0 nodad",
        "link set eth0 up",
        *(f"neigh replace {other} lladdr {mac} dev eth0 nud permanent" for other in theirs),
    ]
    run(f"ip -n {namespace} -batch -", "\n".join(commands))


def listen() -> socket.socket:
    return socket.create_server(("::", LIFELINE_PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)


def bound(namespace: str, local: str) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((local, _UDP_PORT))
        return made

    return within(namespace, make)


def hear(sockets: list[socket.socket]) -> set[socket.socket]:
    """Those that something arrives at, before it has been silent for so long."""
    waiting, deadline = set(sockets), time.monotonic() + _SILENCE_SECONDS
    while waiting and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(list(waiting), [], [], left)
        waiting -= set(ready)
    return set(sockets) - waiting
