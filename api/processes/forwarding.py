"""TCP from an address of this node to a part that listens on loopback alone.

Owns the copying of bytes, both ways, with half-closed connections left half open. Temporal's development server works
on 127.0.0.1 or on every address, but not on one chosen other (tried with 1.32: its services miss each other then).

    async with forwarding("10.0.0.5", [7233]): ...
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

CHUNK_BYTES = 64 << 10
LOOPBACK = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def forwarding(address: str, ports: Iterable[int]) -> AsyncIterator[None]:
    """Listen on the ports at `address`, and pass every connection on to the same port on loopback."""
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            server = await asyncio.start_server(_passer(port), address, port)
            stack.callback(server.close)
        yield


def _passer(port: int) -> Handler:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:  # the part is down: the client sees its connection end, and tries again
            writer.close()
            return
        with contextlib.closing(writer), contextlib.closing(far_writer), contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return pass_on


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
