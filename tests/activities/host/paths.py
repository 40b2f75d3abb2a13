"""Sessions on every path through a host: its own, routed, behind its address translation, bridged by it."""

import contextlib
import socket
from collections.abc import Iterator, Sequence

from lab.entering import within
from lab.network import Lab
from tests.activities.host.behind import made
from tests.activities.host.traffic import SILENCE_SECONDS

INNER, GATEWAY = ("10.77.81.2", "fd77:81::2"), ("10.77.81.1", "fd77:81::1")
_TCP_BACKLOG = 1


class Talk:
    """Two sockets that know each other; what one says arrives at the other, or not."""

    def __init__(self, kind: str, client: str, server: str, address: str, port: int) -> None:
        self.name = f"{kind} to {address}"
        self._server: socket.socket = within(server, lambda: _listening(kind, address, port))
        self._client: socket.socket = within(client, lambda: _calling(kind, address, port))
        if kind == "tcp":
            with self._server as listening:
                self._server, peer = listening.accept()
        else:
            # A server knows whom to answer once it was asked, and the kernel once both were heard.
            self._client.send(b"x")
            _, peer = self._server.recvfrom(10)
            self._server.connect(peer)
        self.caller = str(peer[0])
        for end in (self._client, self._server):
            end.settimeout(SILENCE_SECONDS)

    def ways(self) -> tuple[bool, bool]:
        """Whether it passes from the client to the server, and back."""
        return _passes(self._client, self._server), _passes(self._server, self._client)

    def close(self) -> None:
        self._client.close()
        self._server.close()


@contextlib.contextmanager
def talks(*wanted: tuple[str, str, str, str, int]) -> Iterator[list[Talk]]:
    """Sessions under way: protocol, client's and server's namespace, address and port of the server."""
    with contextlib.ExitStack() as closing:
        opened = []
        for each in wanted:
            opened.append(Talk(*each))
            closing.callback(opened[-1].close)
        assert ways(opened) == dict.fromkeys((talk.name for talk in opened), (True, True))
        yield opened


def ways(opened: Sequence[Talk]) -> dict[str, tuple[bool, bool]]:
    return {talk.name: talk.ways() for talk in opened}


@contextlib.contextmanager
def container(lab: Lab, host: str, *, translated: bool) -> Iterator[str]:
    """A namespace behind the host that talks over IPv4 and IPv6, by its own address or by the host's. Its name."""
    inner, outer = f"{lab.name}-ct", lab[host].namespace
    peer = lab["app"].namespace
    setup = [
        f"ip netns add {inner}",
        f"ip -n {inner} link set lo up",
        f"ip -n {outer} link add ct0 type veth peer name eth0 netns {inner}",
        f"ip -n {outer} link set ct0 up",
        f"ip -n {inner} link set eth0 up",
        *(f"ip -n {outer} addr add {_with_prefix(address)} dev ct0 {_at_once(address)}" for address in GATEWAY),
        *(f"ip -n {inner} addr add {_with_prefix(address)} dev eth0 {_at_once(address)}" for address in INNER),
        *(f"ip -n {inner} route add default via {address}" for address in GATEWAY),
        f"ip netns exec {outer} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    ]
    teardown = [
        f"ip netns exec {outer} sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
        f"ip -n {outer} link del ct0",
        f"ip netns del {inner}",
    ]
    if translated:
        setup += [
            f"ip netns exec {outer} nft add table inet behind",
            f"ip netns exec {outer} nft add chain inet behind out {{ type nat hook postrouting priority 100 ; }}",
            f"ip netns exec {outer} nft add rule inet behind out oifname eth0 masquerade",
        ]
        teardown.insert(0, f"ip netns exec {outer} nft delete table inet behind")
    else:
        ways_there = zip(("10.77.81.0/24", "fd77:81::/64"), (lab[host].ipv4, lab[host].ipv6), strict=True)
        for network, via in ways_there:
            setup.append(f"ip -n {peer} route add {network} via {via}")
            teardown.insert(0, f"ip -n {peer} route del {network}")
    with made(setup, teardown):
        yield inner


def _with_prefix(address: str) -> str:
    return f"{address}/64" if ":" in address else f"{address}/24"


def _at_once(address: str) -> str:
    return "nodad" if ":" in address else ""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listening(kind: str, address: str, port: int) -> socket.socket:
    if kind == "tcp":
        return socket.create_server((address, port), family=_family(address), backlog=_TCP_BACKLOG)
    made_one = socket.socket(_family(address), socket.SOCK_DGRAM)
    made_one.bind((address, port))
    made_one.settimeout(1)
    return made_one


def _calling(kind: str, address: str, port: int) -> socket.socket:
    if kind == "tcp":
        return socket.create_connection((address, port), timeout=1)
    made_one = socket.socket(_family(address), socket.SOCK_DGRAM)
    made_one.connect((address, port))
    return made_one


def _passes(sender: socket.socket, receiver: socket.socket) -> bool:
    try:
        sender.send(b"x")
        return receiver.recv(100)[-1:] == b"x"
    except OSError:
        return False
