"""The intruder on `web`: an established foothold on `app`, and a child that tries `db` again and again.

Owns a process group of two: the leader holds the sessions, the child does the lateral movement and goes on
when the leader alone is killed. Never exploits anything: it connects and sends lines. Run inside a host:

    python -m lab.intruder --status /state/web/intruder.jsonl

Each process appends one JSON object a status interval to the file: `who` is `foothold` or `lateral`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.topology import APP_PORT, DB_PORT, HOSTS_BY_NAME

_LINE_SECONDS = 0.02
_CONNECT_SECONDS = 0.3
_ATTEMPT_SECONDS = 0.2
_STATUS_SECONDS = 0.25
_APP, _DB = HOSTS_BY_NAME["app"], HOSTS_BY_NAME["db"]
_ADDRESSES = {"ipv4": (_APP.ipv4, _DB.ipv4), "ipv6": (_APP.ipv6, _DB.ipv6)}


@dataclass
class Session:
    """One session to `app`, as the intruder sees it."""

    connects: int = 0
    sent: int = 0
    echoed: int = 0
    last_echo_ns: int = 0
    local_port: int = 0
    open: bool = False


@dataclass
class Attempts:
    """Tries to reach `db`."""

    tried: int = 0
    connected: int = 0
    timed_out: int = 0
    refused: int = 0


async def _send_lines(session: Session, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(f"foothold {session.sent}\n".encode())
        session.sent += 1
        await asyncio.sleep(_LINE_SECONDS)


async def _read_echoes(session: Session, reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        session.echoed += 1
        session.last_echo_ns = time.time_ns()


async def _hold(session: Session, address: str) -> None:
    """One session until it ends."""
    async with asyncio.timeout(_CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(address, APP_PORT)
    session.connects += 1
    session.open, session.local_port = True, writer.get_extra_info("sockname")[1]
    sending = asyncio.ensure_future(_send_lines(session, writer))
    try:
        await _read_echoes(session, reader)
    finally:
        session.open = False
        sending.cancel()
        writer.close()


async def keep_session(session: Session, address: str) -> None:
    """Hold the session; when it is lost, try for another, as an intruder would."""
    while True:
        try:
            await _hold(session, address)
        except OSError:  # refused, reset, destroyed or timed out: the status shows it
            session.open = False
        await asyncio.sleep(_ATTEMPT_SECONDS)


async def _try_once(attempts: Attempts, address: str) -> None:
    attempts.tried += 1
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address, DB_PORT)
        attempts.connected += 1
        writer.close()
    except TimeoutError:
        attempts.timed_out += 1
    except OSError:
        attempts.refused += 1


async def try_database(attempts: Attempts, address: str) -> None:
    """Five tries a second; a try that hangs until its timeout doesn't hold up the next one."""
    async with asyncio.TaskGroup() as trying:
        while True:
            trying.create_task(_try_once(attempts, address))
            await asyncio.sleep(_ATTEMPT_SECONDS)


async def report(path: Path, who: str, state: dict[str, Any]) -> None:
    """Append the state again and again; one write a line, so that two writers don't mix."""
    with path.open("a", encoding="utf-8") as file:
        while True:
            seen = {family: asdict(part) for family, part in state.items()}
            line = {"at_ns": time.time_ns(), "pid": os.getpid(), "pgid": os.getpgid(0), "who": who, **seen}
            file.write(json.dumps(line) + "\n")
            file.flush()
            await asyncio.sleep(_STATUS_SECONDS)


async def foothold(status: Path) -> None:
    """What the leader does."""
    sessions = {family: Session() for family in _ADDRESSES}
    keeping = [keep_session(sessions[family], app) for family, (app, _) in _ADDRESSES.items()]
    await asyncio.gather(report(status, "foothold", sessions), *keeping)


async def lateral(status: Path) -> None:
    """What the child does."""
    attempts = {family: Attempts() for family in _ADDRESSES}
    trying = [try_database(attempts[family], db) for family, (_, db) in _ADDRESSES.items()]
    await asyncio.gather(report(status, "lateral", attempts), *trying)


def main() -> None:
    """The leader starts the child in its own process group and session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--lateral", action="store_true", help="be the child")
    arguments = parser.parse_args()
    if arguments.lateral:
        asyncio.run(lateral(arguments.status))
        return
    command = [sys.executable, "-m", "lab.intruder", "--lateral", "--status", str(arguments.status)]
    with subprocess.Popen(command):
        asyncio.run(foothold(arguments.status))


if __name__ == "__main__":
    main()
