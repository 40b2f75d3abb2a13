"""nftables as the agent sees it: list the ruleset, apply a batch as one transaction.

Owns the `nft` processes and their errors. Two of them always wait for their input, because starting is most of what
the command costs: with one that waits, rules are active 3 ms after the batch was handed over, with one that has to be
started 10 ms (measured, docs/adr/0002). Never knows what a rule means.

    nft = Nft()
    nft.start()                      # optional: the first batch then finds one waiting
    nft.apply(change.commands)       # all of it or nothing
    nft.list_ruleset()               # -> [{"table": {...}}, {"chain": {...}}, ...]
"""

import contextlib
import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from playbooks.nftables import NftCommand
from segmentation.errors import FirebreakError

PERMISSIONS = ("CAP_NET_ADMIN",)
_COMMAND = ("nft", "-j", "-f", "-")
_CHECK = ("nft", "-c", "-j", "-f", "-")
_LIST: tuple[NftCommand, ...] = ({"list": {"ruleset": None}},)
# One to look, one to act: an isolation needs both within a few milliseconds.
_WAITING = 2
T = TypeVar("T")


class NftRefused(FirebreakError):
    """The kernel or nft refused a batch; nothing of it was applied."""

    code: ClassVar[str] = "nft-refused"


class NftUnavailable(FirebreakError):
    """nft could not be started, ended by a signal or hung."""

    code: ClassVar[str] = "nft-unavailable"
    retryable: ClassVar[bool] = True


class Nft:
    """nft processes ahead of their need; safe for the threads of one agent.

    They work in the network namespace of the thread that first uses it.
    """

    def __init__(self, timeout_seconds: float = 15.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[subprocess.Popen[bytes]] = deque()
        self._lock = threading.Lock()
        self._starter: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Have processes waiting before the first batch; raises NftUnavailable where nft can't run."""
        self.list_ruleset()
        self._in_starter(self._refill).result()

    def apply(self, commands: Sequence[NftCommand]) -> None:
        """Apply a batch: all of it or nothing, active when this returns.

        Raises:
            NftRefused: the batch is invalid here; nothing changed.
            NftUnavailable: whether it was applied is unknown; list the ruleset.
        """
        self._run(commands)

    def check(self, commands: Sequence[NftCommand]) -> None:
        """Have the kernel check a batch without committing it, in the calling thread's network namespace.

        Raises:
            NftRefused: it would be refused here and now.
            NftUnavailable: nft can't be run.
        """
        process = _spawn(_CHECK)
        try:
            _, errors = process.communicate(_batch(commands), timeout=self._timeout_seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            _end(process)
            raise NftUnavailable(f"nft hung or broke off over a check of {len(commands)}: {error}.") from error
        _judge(process.returncode, errors, len(commands))

    def list_ruleset(self) -> list[dict[str, Any]]:
        """Every object of the ruleset in libnftables-json(5), without the metainfo."""
        output = self._run(_LIST)
        try:
            objects: list[dict[str, Any]] = json.loads(output)["nftables"]
        except (ValueError, KeyError, TypeError) as error:
            raise NftUnavailable(f"nft listed the ruleset as something else than JSON: {error}.") from error
        return [entry for entry in objects if "metainfo" not in entry]

    def close(self) -> None:
        """End the processes that wait; another batch would start new ones."""
        with self._lock:
            starter, self._starter = self._starter, None
        if starter is not None:
            starter.shutdown()
        while self._waiting:
            _end(self._waiting.popleft())

    def _run(self, commands: Sequence[NftCommand]) -> bytes:
        process = self._take()
        try:
            # Closing the netlink socket waits for an RCU grace period, so nft ends some 10 ms after its rules act.
            output, errors = process.communicate(_batch(commands), timeout=self._timeout_seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            _end(process)
            raise NftUnavailable(f"nft hung or broke off over a batch of {len(commands)}: {error}.") from error
        finally:
            self._in_starter(self._refill)
        _judge(process.returncode, errors, len(commands))
        return output

    def _take(self) -> subprocess.Popen[bytes]:
        """One that waits, or a new one where none does."""
        with contextlib.suppress(IndexError):
            while True:
                process = self._waiting.popleft()
                if process.poll() is None:
                    return process
                _end(process)
        return self._in_starter(_spawn).result()

    def _refill(self) -> None:
        while len(self._waiting) < _WAITING:
            self._waiting.append(_spawn())

    def _in_starter(self, work: Callable[[], T]) -> Future[T]:
        """In the one thread that starts them all; it keeps the namespace of whoever needed it first."""
        with self._lock:
            if self._starter is None:
                self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nft")
            return self._starter.submit(work)


def _judge(code: int, errors: bytes, length: int) -> None:
    if code < 0:
        raise NftUnavailable(f"nft was ended by signal {-code}.")
    if code > 0:
        reason = errors.decode(errors="replace").splitlines()[:1]
        raise NftRefused(f"nftables refused a batch of {length}: {''.join(reason)[:500]}")


def _spawn(command: Sequence[str] = _COMMAND) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        # A group of its own: Ctrl-C on the agent must not end it before the agent is done with it.
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0)
    except OSError as error:
        raise NftUnavailable(
            f"nft could not be started: {error}.", hint="Install it (Debian: nftables), with /usr/sbin on the PATH."
        ) from error
    with contextlib.suppress(PermissionError):
        # On a busy host the cut must not wait for its turn behind the intruder's own load.
        os.setpriority(os.PRIO_PROCESS, process.pid, -20)
    return process


def _batch(commands: Sequence[NftCommand]) -> bytes:
    return json.dumps({"nftables": list(commands)}).encode()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(OSError):
        process.communicate()
