"""The way to Temporal, for every process that is one of its workers.

Owns waiting for it: it may come up later than we do.
"""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.converter import DataConverter

log = structlog.get_logger(__name__)


async def connect(address: str, namespace: str, converter: DataConverter) -> Client:
    """A client of Temporal; waits for it with growing pauses, saying so."""
    pause = 0.1
    while True:
        try:
            return await Client.connect(address, namespace=namespace, data_converter=converter)
        except RuntimeError as error:
            log.warning("temporal is not reachable yet", address=address, error=str(error)[:200])
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
