"""A Temporal development server, started as the product starts it."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from api.processes.embedded import temporal_program, temporal_ready


@contextlib.contextmanager
def development_server(folder: Path) -> Iterator[str]:
    """Address of a server on loopback, with its state in a file of the folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = temporal_program("127.0.0.1", port, folder / "temporal.db").command
    with (folder / "temporal.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        asyncio.run(temporal_ready(f"127.0.0.1:{port}"))
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()  # nothing of it is needed any more; ending in good order takes seconds
        server.wait()
