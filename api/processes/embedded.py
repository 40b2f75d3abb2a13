"""The embedded workflow engine and SIEM: command lines and readiness.

Owns how Temporal's development server and the in-memory SIEM are started for one node, tuned for short hops. Never used
where addresses of real ones are configured.
"""

import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import httpx
from temporalio.client import Client
from temporalio.service import RPCError

from api.processes.supervisor import Program
from segmentation.errors import FirebreakError

# The default of 20 polls a second delays every hop that is not eager by about 45 ms.
DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": 2000,
    "history.timerProcessorMaxPollRPS": 2000,
    "history.visibilityProcessorMaxPollRPS": 2000,
    "frontend.enableEagerWorkflowStart": "true",
}


class EmbeddedPartMissing(FirebreakError):
    """A program that comes with the `embedded` extra is not there."""

    code: ClassVar[str] = "embedded-part-missing"


def temporal_program(bind: str, port: int, database: Path) -> Program:
    """Temporal's development server with its state in a file that survives it."""
    command = [find_program("temporal"), "server", "start-dev", "--headless", "--ip", bind, "--port", str(port)]
    command += ["--db-filename", str(database), "--log-level", "error"]
    command += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"]
    for key, value in DYNAMIC_CONFIG.items():
        command += ["--dynamic-config-value", f"{key}={value}"]
    return Program("temporal", command)


def siem_program(bind: str, port: int) -> Program:
    """The in-memory OpenSearch-compatible server."""
    try:
        from osmem_server import resolve_binary
    except ImportError as error:
        raise EmbeddedPartMissing(
            "The embedded SIEM is not installed.",
            hint="Install firebreak[embedded], or set FIREBREAK_SIEM_URL.",
        ) from error
    return Program("siem", [resolve_binary(), "-addr", f"{bind}:{port}", "-no-stdin-watch"])


def find_program(name: str) -> str:
    """A program beside our interpreter or on the path.

    Raises:
        EmbeddedPartMissing: it is in neither place.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise EmbeddedPartMissing(
            f"The program {name} is not installed.",
            hint="Install firebreak[embedded], or name a Temporal address.",
        )
    return found


async def temporal_ready(address: str, seconds: float = 30) -> None:
    """Wait until Temporal answers for its default namespace."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(RPCError, RuntimeError):
                client = await Client.connect(address)
                async for _ in client.list_workflows(page_size=1):
                    break
                return
            await asyncio.sleep(0.05)


async def http_ready(url: str, seconds: float = 30) -> None:
    """Wait until something answers HTTP at a URL."""
    async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await client.get(url, timeout=1)
                return
            await asyncio.sleep(0.05)
