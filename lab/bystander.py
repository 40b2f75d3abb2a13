"""The bystander on `batch`: honest jobs that must not notice a containment of somebody else.

Owns a request every 100 ms to each service it may use, on IPv4 and IPv6 in turn, each on its own connection.
Never retries: a failed request is what a user would have seen. Run inside a host:

    python -m lab.bystander --status /state/batch/bystander.jsonl

Appends one JSON object a status interval: for `app`, `db` and `web` the requests so far, the failed ones, and
the longest time between two that were answered. Those to `web` are its health checks: while it is isolated
they fail, and should.
"""

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.services import PORTS
from lab.topology import HOSTS_BY_NAME

_PACE_SECONDS = 0.1
_REQUEST_SECONDS = 0.5
_STATUS_SECONDS = 0.25


@dataclass
class Requests:
    """Requests to one service."""

    asked: int = 0
    failed: int = 0
    last_answer_ns: int = 0
    longest_gap_ms: float = 0.0

    def answered(self) -> None:
        """Note an answer that came just now."""
        now = time.time_ns()
        if self.last_answer_ns:
            self.longest_gap_ms = max(self.longest_gap_ms, (now - self.last_answer_ns) / 1e6)
        self.last_answer_ns = now


async def _request(address: str, port: int) -> None:
    """One line there and back. Raises OSError (a timeout is one) when it isn't answered."""
    async with asyncio.timeout(_REQUEST_SECONDS):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(b"job\n")
            if not await reader.readline():
                raise ConnectionResetError(f"{address} port {port} closed the connection unanswered")
        finally:
            writer.close()


async def keep_asking(requests: Requests, service: str) -> None:
    """Ask again and again, IPv4 and IPv6 in turn."""
    host = HOSTS_BY_NAME[service]
    while True:
        address = (host.ipv4, host.ipv6)[requests.asked % 2]
        requests.asked += 1
        try:
            await _request(address, PORTS[service])
            requests.answered()
        except OSError:
            requests.failed += 1
        await asyncio.sleep(_PACE_SECONDS)


async def _report(path: Path, requests: dict[str, Requests]) -> None:
    with path.open("a", encoding="utf-8") as file:
        while True:
            seen = {service: asdict(part) for service, part in requests.items()}
            file.write(json.dumps({"at_ns": time.time_ns(), "who": "bystander", **seen}) + "\n")
            file.flush()
            await asyncio.sleep(_STATUS_SECONDS)


async def work(status: Path) -> None:
    """All jobs at once, until killed."""
    requests = {service: Requests() for service in PORTS}
    asking = [keep_asking(part, service) for service, part in requests.items()]
    await asyncio.gather(_report(status, requests), *asking)


def main() -> None:
    """Parse where to report and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--status", type=Path, required=True)
    asyncio.run(work(parser.parse_args().status))


if __name__ == "__main__":
    main()
