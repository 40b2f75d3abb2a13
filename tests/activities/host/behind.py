"""Namespaces behind a host of the lab: one that it routes for, two that it bridges."""

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence

from lab.entering import within
from lab.network import Lab

ROUTED, BRIDGED = "10.77.79.2", ("10.77.80.1", "10.77.80.2")


class Held:
    """An established TCP session between two namespaces, both of whose ends are in our hands."""

    def __init__(self, client: str, server: str, address: str, port: int, *, bound: str = "", at: int = 0) -> None:
        local = (bound or address, at or port)
        with within(server, lambda: socket.create_server(local)) as listening:
            self._client = within(client, lambda: socket.create_connection((address, port), timeout=1))
            self._server, _ = listening.accept()
        for end in (self._client, self._server):
            end.settimeout(0.15)

    def passes(self) -> bool:
        """Whether what one end says reaches the other, both ways."""
        try:
            for sender, receiver in ((self._client, self._server), (self._server, self._client)):
                sender.sendall(b"x")
                if receiver.recv(100)[-1:] != b"x":
                    return False
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._client.close()
        self._server.close()


@contextlib.contextmanager
def held(session: Callable[[], Held]) -> Iterator[Held]:
    opened = session()
    try:
        assert opened.passes()
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def routed(lab: Lab, router: str) -> Iterator[str]:
    """A namespace that the host routes for, as a container's; every host knows the way. Its name."""
    inner, outer = f"{lab.name}-rt", lab[router].namespace
    peers = [lab[name].namespace for name in ("app", "db", "batch")]
    setup = [
        f"ip netns add {inner}",
        f"ip -n {inner} link set lo up",
        f"ip -n {outer} link add inner0 type veth peer name eth0 netns {inner}",
        f"ip -n {outer} addr add 10.77.79.1/24 dev inner0",
        f"ip -n {outer} link set inner0 up",
        f"ip -n {inner} addr add {ROUTED}/24 dev eth0",
        f"ip -n {inner} link set eth0 up",
        f"ip -n {inner} route add default via 10.77.79.1",
        *(f"ip -n {peer} route add 10.77.79.0/24 via {lab[router].ipv4}" for peer in peers),
        f"ip netns exec {outer} sysctl -qw net.ipv4.ip_forward=1",
    ]
    teardown = [
        f"ip netns exec {outer} sysctl -qw net.ipv4.ip_forward=0",
        *(f"ip -n {peer} route del 10.77.79.0/24" for peer in peers),
        f"ip -n {outer} link del inner0",
        f"ip netns del {inner}",
    ]
    with made(setup, teardown):
        yield inner


@contextlib.contextmanager
def bridged(lab: Lab, host: str) -> Iterator[tuple[str, str]]:
    """Two namespaces on a bridge of the host, which has no address on it. Their names."""
    outer, names = lab[host].namespace, (f"{lab.name}-b1", f"{lab.name}-b2")
    setup = [
        f"ip -n {outer} link add br7 type bridge mcast_snooping 0",
        f"ip -n {outer} link set br7 up",
        # Where br_netfilter is loaded it hands bridged packets to the chains of IP, which would cut them too.
        f"ip netns exec {outer} sysctl -qew net.bridge.bridge-nf-call-iptables=0",
    ]
    for port, (name, address) in enumerate(zip(names, BRIDGED, strict=True)):
        setup += [
            f"ip netns add {name}",
            f"ip -n {outer} link add port{port} type veth peer name eth0 netns {name}",
            f"ip -n {outer} link set port{port} master br7 up",
            f"ip -n {name} addr add {address}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
        ]
    teardown = [f"ip -n {outer} link del br7", *(f"ip -n {outer} link del port{port}" for port in (0, 1))]
    with made(setup, [*teardown, *(f"ip netns del {name}" for name in names)]):
        yield names


@contextlib.contextmanager
def made(setup: Sequence[str], teardown: Sequence[str]) -> Iterator[None]:
    try:
        for command in setup:
            subprocess.run(command.split(), check=True)
        yield
    finally:
        for command in teardown:
            subprocess.run(command.split(), check=False)
