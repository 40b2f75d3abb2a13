"""What arrives at a node's address reaches the part that listens on loopback, and the answer comes back."""

import asyncio

import pytest

from api.processes.forwarding import forwarding

ADDRESS = "127.0.0.2"


async def echo_at_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer only once the other side has said all it has to say: needs a half-open connection."""
    writer.write(await reader.read())
    writer.close()


async def test_bytes_go_both_ways_over_a_half_closed_connection() -> None:
    part = await asyncio.start_server(echo_at_end, "127.0.0.1", 0)
    port = part.sockets[0].getsockname()[1]
    async with part, forwarding(ADDRESS, [port]):
        reader, writer = await asyncio.open_connection(ADDRESS, port)
        sent = b"x" * 300_000
        writer.write(sent)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == sent
        writer.close()


async def test_a_part_that_is_down_ends_the_connection_instead_of_holding_it() -> None:
    part = await asyncio.start_server(echo_at_end, "127.0.0.1", 0)
    port = part.sockets[0].getsockname()[1]
    part.close()
    await part.wait_closed()
    async with forwarding(ADDRESS, [port]):
        reader, writer = await asyncio.open_connection(ADDRESS, port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_nothing_listens_once_it_is_left() -> None:
    part = await asyncio.start_server(echo_at_end, "127.0.0.1", 0)
    port = part.sockets[0].getsockname()[1]
    async with part:
        async with forwarding(ADDRESS, [port]):
            pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, port)
