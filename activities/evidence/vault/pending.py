"""What is being done about uploads beside their requests: each thing once, however many ask for it.

Owns the threads and who waits for what. Knows neither spools nor vaults.

    with lock:
        future = pending.find(key, digest) or pending.start(key, digest, call)
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from activities.contracts.evidence import Storage
from activities.evidence.errors import VaultUnavailable


class Pending:
    """Calls under way by the key of their upload; the caller holds one lock around all but `close`."""

    def __init__(self, threads: int = 4) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="vault")
        self._calls: dict[str, tuple[str, Future[Storage]]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._calls

    def find(self, key: str, sha256: str) -> "Future[Storage] | None":
        """What is under way for the same bytes.

        Raises:
            VaultUnavailable: it is for other bytes.
        """
        digest, future = self._calls.get(key, (sha256, None))
        if digest != sha256:
            raise VaultUnavailable("This artefact is being kept with another digest.", hint="Ask again.")
        return future

    def start(self, key: str, sha256: str, call: Callable[[], Storage]) -> "Future[Storage]":
        """Begin; `call` ends with `forget`."""
        future = self._threads.submit(call)
        self._calls[key] = sha256, future
        return future

    def forget(self, key: str) -> None:
        """It is done."""
        self._calls.pop(key, None)

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.shutdown()
