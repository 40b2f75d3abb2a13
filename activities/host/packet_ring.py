"""The ring of packets: a capture that always runs, and what earlier ones left.

Owns the sessions under one folder, their succession without a gap, the bounds on age and disk, and going on when an
interface, the disk or a namespace comes back. A closed session's packets are never written again, so that evidence may
share them by hard links. Every method belongs to one thread, the one whose end ends the capture (PR_SET_PDEATHSIG is
about threads, prctl(2)).

    ring = PacketRing(folder, settings, max_age_seconds=900)
    ring.begin()                  # a session runs
    ring.succeed([capture])       # the next one runs, the former has ended in order
    ring.tend()                   # once a second
"""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from activities.host.capture import LOG_FILE, READ_TIMEOUT_SECONDS, Capture, complaint
from activities.host.capture_tools import FilterInvalid, PacketSettings, check_filter, ring_command, rings_of
from activities.host.clock import Ages, boot_ns
from activities.host.namespaces import Link, NamespaceUnknown, Place, look
from activities.host.sessions import Begun, Ended, packet_files, write_record
from activities.host.spool import room
from activities.host.standing import read_boot_id

START_SECONDS = 3.0
log = structlog.get_logger(__name__)


class PacketRing:
    """Sessions of one capture, the newest of them running. `key` tells the rings of one host apart."""

    def __init__(self, folder: Path, settings: PacketSettings, max_age_seconds: int, key: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.key, self.settings, self.reason = key, settings, ""
        self._folder, self._ages = folder, Ages(max_age_seconds)
        self._current: Capture | None = None
        self._links: tuple[Link, ...] = ()
        self._blocked = False
        self._boot_id = read_boot_id()

    @property
    def running(self) -> bool:
        """Whether packets are being kept."""
        return self._current is not None and self._current.running

    def begin(self) -> bool:
        """Start a session; False, with `reason`, when it does not capture."""
        self._note_end()
        self._current = self._start()
        return self._current is not None and self._capturing(self._current)

    def succeed(self, others: Sequence[Capture] = ()) -> None:
        """Start the next session, and end the running one when another capture has taken over.

        `others` were started before: whichever captures first closes the gap.
        """
        former, self._current = self._current, self._start()
        own = [self._current] if self._current else []
        # All are waited for, so that the packet that one of them misses is in the former.
        took_over = [*(other.wait_until_capturing(START_SECONDS) for other in others), *map(self._capturing, own)]
        if former is not None:
            if any(took_over):
                # What came before the takeover may still be in the kernel's buffer of the former.
                time.sleep(2 * READ_TIMEOUT_SECONDS)
            _end(former)

    def end(self, reason: str = "") -> None:
        """End the running session in order."""
        if self._current is not None:
            _end(self._current, reason)
            self._current = None

    def tend(self) -> None:
        """Forget what is too old; go on without what has gone, and with what has come back."""
        self.prune()
        place, obstacle = self.look()
        if self.running:
            if obstacle:
                self.reason, self._blocked = obstacle, True
                self.end(obstacle)
            elif place is not None and place.present != self._links:
                self.succeed()
            return
        self._note_end()
        if self._blocked and not obstacle:
            self.begin()

    def closed(self) -> list[Path]:
        """Folders of sessions that have ended, the oldest first."""
        running = self._current.log.parent if self.running and self._current is not None else None
        return sorted(path for path in self._folder.iterdir() if path != running)

    def size_bytes(self) -> int:
        """Disk that the ring takes now."""
        return sum(path.stat().st_size for path in self._folder.glob("*/*.pcap*"))

    def prune(self) -> None:
        """Forget files of ended sessions that are too old, and the oldest while there are too many bytes."""
        horizon = self._ages.horizon()
        allowed = self.settings.ring_files * self.settings.ring_file_kib * 1024
        for session in reversed(self.closed()):
            for path in reversed(packet_files(session)):
                found = path.stat()
                allowed -= found.st_size
                if allowed < 0 or found.st_mtime < horizon:
                    path.unlink()
            if not packet_files(session):
                shutil.rmtree(session)

    def look(self) -> tuple[Place | None, str]:
        """Where it can capture now, and what is in its way, if anything."""
        try:
            place = look(self.settings.namespace, self.settings.interfaces)
        except NamespaceUnknown as error:
            return None, error.summary
        if not place.present:
            names = ", ".join(place.absent)
            return place, f"there is no interface {names}" if names else "there is no interface but the loopback"
        if not room(self._folder, self.settings.reserve_mib << 20):
            return place, f"no space: the disk has less than {self.settings.reserve_mib} MiB left"
        return place, ""

    def _start(self) -> Capture | None:
        place, obstacle = self.look()
        self._blocked = bool(obstacle)
        if place is None or obstacle:
            self.reason = obstacle
            return None
        session = self._folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        try:
            check_filter(self.settings.capture_filter, place)
            session.mkdir(mode=0o700)
            capture = Capture.start(ring_command(self.settings, place, session), session / LOG_FILE)
        except FilterInvalid as error:
            self.reason = error.summary
            return None
        except OSError as error:
            self.reason = f"the capture can't be started: {error}"
            return None
        self._note_begin(session, capture, place)
        return capture

    def _note_begin(self, session: Path, capture: Capture, place: Place) -> None:
        self._links = place.present
        if not capture.wait_until_capturing(START_SECONDS):
            return
        record = Begun(
            command=capture.command,
            boot_id=self._boot_id,
            boot_ns=boot_ns(),
            netns_inode=place.inode,
            links=place.present,
            absent=place.absent,
            capturing_at=datetime.now(UTC),
        )
        _keep(session, record)

    def _capturing(self, capture: Capture) -> bool:
        if capture.wait_until_capturing(START_SECONDS):
            return True
        self.reason = complaint(capture.log) or f"nothing was captured within {START_SECONDS:g} s"
        return False

    def _note_end(self) -> None:
        """A session that ended by itself: what it said is why."""
        if self._current is not None and not self._current.running:
            self.reason = complaint(self._current.log) or f"it ended with {self._current.process.returncode}"
            _end(self._current, self.reason)
            self._current = None


def rings(folder: Path, wanted: Sequence[PacketSettings], max_age_seconds: int) -> tuple[PacketRing, ...]:
    """Ours first: its ring is what an incident of this host is about."""
    found = {
        key: one
        for number, settings in enumerate(wanted)
        for key, one in rings_of(settings, f"ns{number}" if number else "").items()
    }
    return tuple(
        PacketRing(folder / (f"ring-{key}" if key else "ring"), one, max_age_seconds, key) for key, one in found.items()
    )


def _end(capture: Capture, reason: str = "") -> None:
    # One that has ended already did so by itself, at a time that only its files know.
    by_itself = "" if capture.running else complaint(capture.log) or "it ended by itself"
    capture.stop()
    record = Ended(
        ended_at=datetime.now(UTC),
        boot_ns=boot_ns(),
        reason=reason or by_itself,
        exit_status=capture.process.returncode,
    )
    _keep(capture.log.parent, record)


def _keep(session: Path, record: Begun | Ended) -> None:
    """A disk that is full takes no record, and must not end the ring for it: the files show until when it went."""
    try:
        write_record(session, record)
    except OSError as error:
        log.warning("a record of the ring could not be kept", session=session.name, error=str(error))
