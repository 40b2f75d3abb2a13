"""nftables as the agent sees it: list the ruleset, apply a batch as one transaction.

Owns the process that holds libnftables (see `nft_server`) and its errors. Never knows what a rule means.

    nft = Nft()
    nft.start()                      # optional: the first batch then finds it warm
    nft.apply(change.commands)       # all of it or nothing
    nft.list_ruleset()               # -> [{"table": {...}}, {"chain": {...}}, ...]
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from activities.host.nft_server import ANSWER, LENGTH
from playbooks.nftables import NftCommand
from segmentation.errors import FirebreakError

PERMISSIONS = ("CAP_NET_ADMIN",)
_SERVER = Path(__file__).with_name("nft_server.py")
_LIST: tuple[NftCommand, ...] = ({"list": {"ruleset": None}},)


class NftRefused(FirebreakError):
    """The kernel or libnftables refused a batch; nothing of it was applied."""

    code: ClassVar[str] = "nft-refused"


class NftUnavailable(FirebreakError):
    """libnftables could not be reached, ended or hung."""

    code: ClassVar[str] = "nft-unavailable"
    retryable: ClassVar[bool] = True


class Nft:
    """A warm libnftables; safe for the threads of one agent.

    It works in the network namespace of the thread that first uses it.
    """

    def __init__(self, timeout_seconds: float = 15.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Have the process ready before the first batch; raises NftUnavailable where it can't run."""
        self.list_ruleset()

    def apply(self, commands: Sequence[NftCommand]) -> None:
        """Apply a batch: all of it or nothing, active when this returns.

        Raises:
            NftRefused: the batch is invalid here; nothing changed.
            NftUnavailable: whether it was applied is unknown; list the ruleset.
        """
        self._run(commands)

    def list_ruleset(self) -> list[dict[str, Any]]:
        """Every object of the ruleset in libnftables-json(5), without the metainfo."""
        output = self._run(_LIST)
        try:
            objects: list[dict[str, Any]] = json.loads(output)["nftables"]
        except (ValueError, KeyError, TypeError) as error:
            raise NftUnavailable(
                f"libnftables listed the ruleset as something else than JSON: {error}."
            ) from error
        return [entry for entry in objects if "metainfo" not in entry]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _run(self, commands: Sequence[NftCommand]) -> bytes:
        request = json.dumps({"nftables": list(commands)}).encode()
        with self._lock:
            try:
                status, output, errors = self._exchange(request)
            except (OSError, EOFError, TimeoutError) as error:
                raise NftUnavailable(
                    f"libnftables did not answer: {error}{self._end()}.",
                    hint="Is libnftables.so.1 installed (Debian: nftables), CAP_NET_ADMIN granted?",
                ) from error
        if status != 0:
            reason = errors.decode(errors="replace").splitlines()[:1]
            raise NftRefused(f"nftables refused a batch of {len(commands)}: {''.join(reason)[:500]}")
        return output

    def _exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        server = self._running()
        if server.stdin is None or server.stdout is None:
            raise EOFError("it has no pipes")
        server.stdin.write(LENGTH.pack(len(request)) + request)
        deadline = time.monotonic() + self._timeout_seconds
        source = server.stdout.fileno()
        status, output, errors = ANSWER.unpack(_read(source, ANSWER.size, deadline))
        return status, _read(source, output, deadline), _read(source, errors, deadline)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._server is None or self._server.poll() is not None:
            self._end()
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                process_group=0,  # Ctrl-C on the agent must not end it before the agent is done
            )
        return self._server

    def _end(self) -> str:
        """End the process; how it had ended by itself, in words for an error."""
        server, self._server = self._server, None
        if server is None:
            return ""
        server.kill()
        for pipe in (server.stdin, server.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return f" (its process ended with {server.wait()})"


def _read(source: int, size: int, deadline: float) -> bytes:
    """Exactly `size` bytes; raises EOFError or TimeoutError."""
    poller = select.poll()
    poller.register(source, select.POLLIN)
    parts: list[bytes] = []
    while size > 0:
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("it hung")
        part = os.read(source, min(size, 1 << 20))
        if not part:
            raise EOFError("it ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
