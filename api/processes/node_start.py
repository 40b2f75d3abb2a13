"""What has to be there before a node of `firebreak up` starts anything: its state, and the machine to itself.

Owns the state directory, the first administrator's token, and the refusal of a second node. Starts nothing.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import structlog

from activities.orders.keys import load_control_key
from api.processes.describe import CATALOG
from api.processes.node_addresses import advertised_host, local_host
from api.settings import UpSettings
from api.sources import Sources
from api.tokens import Tokens
from playbooks.loading import load_catalog, load_safeguards
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)


class AlreadyUp(FirebreakError):
    """Something else has what this node needs."""

    code: ClassVar[str] = "already-up"


def prepare(settings: UpSettings) -> None:
    """The state directory, the first administrator, and the source that our own detections post as.

    Raises:
        PlaybookInvalid: before anything starts, rather than in a worker that would be started again and again.
    """
    load_catalog(settings.playbook_dir or CATALOG)
    load_safeguards(settings.safeguards_file)
    advertised_host(settings)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.state_dir.chmod(0o700)
    load_control_key(settings.state_dir)
    tokens = Tokens(settings.state_dir)
    if not tokens.entries():
        made = tokens.create("admin", ("admin",))
        _write_secret(settings.state_dir / "admin.token", made.token)
        log.info("first start: the administrator's token was written", file=str(settings.state_dir / "admin.token"))
    sources = Sources(settings.state_dir)
    if sources.find(settings.detect_source) is None:
        sources.add(settings.detect_source)


def _write_secret(path: Path, secret: str) -> None:
    """A file that its owner alone may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret + "\n")


@contextlib.contextmanager
def alone(settings: UpSettings) -> Iterator[None]:
    """Be the only node on this state directory, and find every port free.

    Raises:
        AlreadyUp: another process has the directory or a port.
    """
    with (settings.state_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(
                f"Another `firebreak up` runs on {settings.state_dir}.", hint="Stop it, or choose another --state-dir."
            ) from error
        wanted = {"api": settings.api_port, "temporal": settings.temporal_port, "siem": settings.siem_port}
        for name, port in wanted.items():
            if port and not _is_free(local_host(settings), port):
                raise AlreadyUp(
                    f"Port {port} for {name} is in use on {local_host(settings)}.",
                    hint=f"Choose another with --{name}-port.",
                )
        yield


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # As the parts do themselves: connections of a former run that linger are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
