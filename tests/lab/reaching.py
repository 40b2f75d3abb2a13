"""Who reaches whom, asked from inside a host of the lab. Run there as a program; `reach` is the test's side.

Owns the difference between an answer (connected, or refused by a closed port) and silence.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Literal

from lab.host import LabHost

Destination = tuple[str, int]
Outcome = Literal["answered", "silent"]
_SILENCE_SECONDS = 0.4


def reach(host: LabHost, destinations: Sequence[Destination]) -> dict[Destination, Outcome]:
    """Connect to every destination from the host, all at once."""
    done = host.run([sys.executable, "-m", "tests.lab.reaching"], stdin=json.dumps(destinations))
    return dict(zip(destinations, json.loads(done.stdout), strict=True))


async def _outcome(address: str, port: int) -> Outcome:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
    except ConnectionRefusedError:
        return "answered"
    except OSError:  # a timeout, or no neighbour with that address
        return "silent"
    return "answered"


async def _outcomes(destinations: list[Destination]) -> list[Outcome]:
    return await asyncio.gather(*(_outcome(address, port) for address, port in destinations))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_outcomes(json.load(sys.stdin)))))
