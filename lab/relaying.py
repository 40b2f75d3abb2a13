"""The process behind `lab.relay`: listens inside a namespace, connects outside of it.

Owns moving bytes with back-pressure, half-close and resets kept as they are. Never looks into them.

    python -m lab.relaying NAMESPACE ADDRESS... ; one JSON object of ports a line on stdin, one answer on
    stdout
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from typing import Final, cast

import uvloop

from lab.entering import within

_BACKLOG = 512
_RESET: Final = struct.pack("ii", 1, 0)  # socket(7): lingering for 0 s turns close into RST
Upstream = tuple[str, int]


class Side(asyncio.Protocol):
    """One connection of a relayed pair."""

    transport: asyncio.Transport
    peer: "Side | None" = None
    finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; small gRPC frames must not wait for acknowledgements."""
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self.peer is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        """Half-close: the other direction goes on until it ends by itself."""
        self.finished = True
        if self.peer is None or self.peer.finished:
            return False
        self.peer.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """A reset stays a reset, an end an end."""
        if self.peer is None:
            return
        if exc is not None:
            self.peer.reset()
        else:
            self.peer.transport.close()

    def pause_writing(self) -> None:
        """Back-pressure: read no more than the other side takes."""
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """The other side takes again."""
        if self.peer is not None:
            self.peer.transport.resume_reading()

    def reset(self) -> None:
        """End with RST."""
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class Outbound(Side):
    """The connection to the upstream; joined to its inbound side before its first byte can arrive."""

    def __init__(self, inbound: "Inbound") -> None:
        self.peer = inbound

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over what came in meanwhile."""
        super().connection_made(transport)
        cast("Inbound", self.peer).join(self)


class Inbound(Side):
    """A connection from a host; its upstream is looked up when it arrives."""

    def __init__(self, relaying: "Relaying", port: int) -> None:
        self._relaying = relaying
        self._port = port
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect onward."""
        super().connection_made(transport)
        self._relaying.keep(asyncio.ensure_future(self._connect()))

    def data_received(self, data: bytes) -> None:
        """Hand on; what comes before there is an upstream is kept, and no more than one read of it."""
        if self.peer is not None:
            self.peer.transport.write(data)
        else:
            self._early.append(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may have said all before there is an upstream."""
        if self.peer is not None:
            return super().eof_received()
        self.finished = True
        return True

    def join(self, outbound: Outbound) -> None:
        """The upstream is there: hand on what was kept."""
        self.peer = outbound
        if self.transport.is_closing():
            outbound.transport.abort()
            return
        outbound.transport.writelines(self._early)
        self._early.clear()
        if self.finished:
            outbound.transport.write_eof()
        else:
            self.transport.resume_reading()

    async def _connect(self) -> None:
        host, port = self._relaying.table[self._port]
        try:
            await asyncio.get_running_loop().create_connection(lambda: Outbound(self), host, port)
        except OSError:
            self.reset()  # what a client would see if the port were closed


class Relaying:
    """The table of ports and the sockets that listen for them."""

    def __init__(self, namespace: str, addresses: list[str]) -> None:
        self.table: dict[int, Upstream] = {}
        self._namespace = namespace
        self._addresses = addresses
        self._servers: dict[int, list[asyncio.Server]] = {}
        self._connecting: set[asyncio.Future[None]] = set()

    def keep(self, connecting: asyncio.Future[None]) -> None:
        """Hold a reference: the loop itself keeps only a weak one."""
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def replace(self, table: dict[int, Upstream]) -> None:
        """Make `table` the one that holds."""
        for port in set(self._servers) - set(table):
            for server in self._servers.pop(port):
                server.close()
        self.table = table
        for port in set(table) - set(self._servers):
            self._servers[port] = [await self._serve(listener, port) for listener in self._listen(port)]

    def _listen(self, port: int) -> list[socket.socket]:
        return within(self._namespace, lambda: [_listener(address, port) for address in self._addresses])

    async def _serve(self, listener: socket.socket, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Inbound(self, port), sock=listener, backlog=_BACKLOG)

    async def obey(self, line: bytes) -> dict[str, object]:
        """One order from stdin, one answer."""
        table = {int(port): (host, number) for port, (host, number) in json.loads(line).items()}
        try:
            await self.replace(table)
        except OSError as error:
            return {"error": str(error)}
        return {"ok": True}


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


async def serve(namespace: str, addresses: list[str]) -> None:
    """Obey stdin until it closes."""
    relaying = Relaying(namespace, addresses)
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await orders.readline():
        answer = json.dumps(await relaying.obey(line))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2:]))
