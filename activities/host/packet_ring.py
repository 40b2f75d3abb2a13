"""The ring of packets: a dumpcap that always runs, and what earlier ones left.

Owns the sessions of dumpcap under one folder, their succession without a gap, and the bounds on age and
disk. A closed session is never written again, so that evidence may share its bytes by hard links. Every
method belongs to one thread, the one whose end ends dumpcap (PR_SET_PDEATHSIG is about threads, prctl(2)).

    ring = PacketRing(folder, settings)
    ring.begin()                  # a session runs
    ring.succeed([capture])       # the next one runs, the former has ended in order
"""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from activities.host.capture import READ_TIMEOUT_SECONDS, Capture, PacketSettings, complaint, ring_command

START_SECONDS = 3.0
LOG_FILE = "dumpcap.log"
COMMAND_FILE = "command"


class PacketRing:
    """Sessions of dumpcap, one of them running."""

    def __init__(self, folder: Path, settings: PacketSettings, max_age_seconds: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._settings, self._max_age_seconds = folder, settings, max_age_seconds
        self._current: Capture | None = None
        self.reason = ""

    @property
    def running(self) -> bool:
        """Whether packets are being kept."""
        return self._current is not None and self._current.running

    def begin(self) -> bool:
        """Start a session; False, with `reason`, when it does not capture."""
        self._current = self._start()
        return self._current is not None and self._capturing(self._current)

    def succeed(self, others: Sequence[Capture]) -> None:
        """Start the next session, and end the running one when another capture has taken over.

        `others` were started before: whichever captures first closes the gap.
        """
        former, self._current = self._current, self._start()
        successors = [*others, *([self._current] if self._current else [])]
        # All are waited for, so that the packet that one of them misses is in the former.
        took_over = [self._capturing(capture) for capture in successors]
        if former is not None:
            if any(took_over):
                # What came before the takeover may still be in the kernel's buffer of the former.
                time.sleep(2 * READ_TIMEOUT_SECONDS)
            former.stop()

    def end(self) -> None:
        """End the running session in order."""
        if self._current is not None:
            self._current.stop()
            self._current = None

    def closed(self) -> list[Path]:
        """Folders of sessions that have ended, the oldest first."""
        running = self._current.log.parent if self._current is not None and self._current.running else None
        return sorted(path for path in self._folder.iterdir() if path != running)

    def size_bytes(self) -> int:
        """Disk that the ring takes now."""
        return sum(path.stat().st_size for path in self._folder.glob("*/*.pcapng"))

    def prune(self) -> None:
        """Forget files of ended sessions that are too old, and the oldest while there are too many bytes."""
        horizon = time.time() - self._max_age_seconds
        allowed = self._settings.ring_files * self._settings.ring_file_kib * 1024
        for session in reversed(self.closed()):
            for path in reversed(packet_files(session)):
                found = path.stat()
                allowed -= found.st_size
                if allowed < 0 or found.st_mtime < horizon:
                    path.unlink()
            if not packet_files(session):
                shutil.rmtree(session)

    def _start(self) -> Capture | None:
        session = self._folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        session.mkdir(mode=0o700)
        command = ring_command(self._settings, session)
        (session / COMMAND_FILE).write_text("\n".join(command), encoding="utf-8")
        try:
            return Capture.start(command, session / LOG_FILE)
        except OSError as error:
            self.reason = f"dumpcap can't be started: {error}"
            return None

    def _capturing(self, capture: Capture) -> bool:
        if capture.wait_until_capturing(START_SECONDS):
            return True
        self.reason = complaint(capture.log) or f"dumpcap did not capture within {START_SECONDS:g} s"
        return False


def packet_files(session: Path) -> list[Path]:
    """Capture files of a session in the order they were written."""
    return sorted(session.glob("*.pcapng"))
