"""Events that we make ourselves, to know from when on bpftrace sees what happens.

Owns one connection that is refused on loopback and one program that does nothing, made again and again
until both were seen. bpftrace 0.17 says `attached_probes` before it attaches them: up to a third of a
second was seen in between.

    rehearsal = Rehearsal(folder)
    rehearsal.perform()
    rehearsal.witness(document)     # True: it is ours, not evidence
    rehearsal.done
"""

import contextlib
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

_LOOPBACK = "127.0.0.1"


class Rehearsal:
    """One proof; `perform` and `witness` may be called from two threads."""

    def __init__(self, folder: Path, longest_name: int) -> None:
        self._program = folder / "rehearsal"
        self._program.unlink(missing_ok=True)
        self._program.symlink_to(shutil.which("true") or "/bin/true")
        # What the kernel tells of a name is cut to so many octets, the last of them 0.
        self._name = str(self._program)[: longest_name - 1]
        self._reserved = socket.socket()
        self._missing = {"connection", "execution"}
        try:
            self._reserved.bind((_LOOPBACK, 0))
        except OSError:
            self._missing.discard("connection")  # a host without loopback
        self._refuses: tuple[str, int] = self._reserved.getsockname()

    @property
    def done(self) -> bool:
        """Whether everything was seen."""
        return not self._missing

    def perform(self) -> None:
        """Make the events. Never waits for an answer."""
        if "connection" in self._missing:
            with contextlib.suppress(OSError), socket.socket() as attempt:
                attempt.setblocking(False)
                attempt.connect(self._refuses)
        with contextlib.suppress(OSError):
            subprocess.run((str(self._program),), check=False)

    def witness(self, document: dict[str, Any]) -> bool:
        """Whether this is one of ours; every event that is asked for is ticked off."""
        if self.done or not self._is_ours(document):
            return False
        self._missing.discard(document["event"])
        return True

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def _is_ours(self, document: dict[str, Any]) -> bool:
        if document["event"] == "execution":
            return bool(document["file"] == self._name)
        ends = (document.get("destination"), document.get("destination_port"))
        return document["event"] in ("connection", "attempt") and ends == self._refuses
