"""The small real services of the lab: TCP on IPv4 and IPv6, lines echoed, HTTP answered.

Owns what `app`, `db` and `web` listen for. Never forwards anything and keeps an idle session for as long as
its client does. Run inside a host:

    python -m lab.services --role app

A line comes back as `app: <line>`; a line that starts with `GET ` is answered with a small JSON document.
"""

import argparse
import asyncio
import json
import socket

from lab.topology import APP_PORT, DB_PORT, HEALTH_PORT, HOSTS_BY_NAME

PORTS = {"app": APP_PORT, "db": DB_PORT, "web": HEALTH_PORT}


async def _skip_headers(reader: asyncio.StreamReader) -> None:
    while (await reader.readline()).strip():
        pass


def _http(role: str) -> bytes:
    body = json.dumps({"service": role, "healthy": True}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _answer(role: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        if line.startswith(b"GET "):
            await _skip_headers(reader)
            writer.write(_http(role))
        else:
            writer.write(role.encode() + b": " + line)
        await writer.drain()


async def _serve_client(role: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client until it leaves; a client that is cut off or talks nonsense ends its own session only."""
    try:
        await _answer(role, reader, writer)
    except (ConnectionError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
        print(json.dumps({"service": role, "session_ended": repr(error)}), flush=True)  # noqa: T201  its log
    finally:
        writer.close()


async def serve(role: str) -> None:
    """Listen on both addresses of the host until killed."""
    host = HOSTS_BY_NAME[role]

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve_client(role, reader, writer)

    for family, address in ((socket.AF_INET, host.ipv4), (socket.AF_INET6, host.ipv6)):
        await asyncio.start_server(client, address, PORTS[role], family=family, backlog=128)
    await asyncio.Event().wait()


def main() -> None:
    """Parse the role and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=sorted(PORTS), required=True)
    asyncio.run(serve(parser.parse_args().role))


if __name__ == "__main__":
    main()
