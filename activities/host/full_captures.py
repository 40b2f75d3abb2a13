"""Full-length captures: begun at the freeze, on record before they matter, ending by themselves.

Owns starting them and how they ended. They go on when the agent ends; a later one finds their record. Every method
belongs to one thread, but `exit_status`.

    captures = FullCaptures(host="web")
    capture, reason = captures.begin(folder, ring, seconds=30, share=1)
"""

from datetime import UTC, datetime

from activities.host.capture import Capture
from activities.host.capture_tools import FilterInvalid, check_filter, full_command, tool_here
from activities.host.clock import boot_ns
from activities.host.frozen import FullCapture, IncidentFolder
from activities.host.packet_ring import PacketRing
from activities.host.spool import room
from segmentation.workloads import Name


class FullCaptures:
    """Those that this agent began."""

    def __init__(self, host: Name) -> None:
        self._host = host
        self._running: list[Capture] = []
        self._exits: dict[int, int] = {}

    @property
    def any_running(self) -> bool:
        """Whether one of them goes on."""
        return bool(self._running)

    def begin(self, folder: IncidentFolder, ring: PacketRing, seconds: int, share: int) -> tuple[Capture | None, str]:
        """Start one where the ring captures, in its share of the disk's room; or why not."""
        place, obstacle = ring.look()
        if place is None or obstacle:
            return None, obstacle
        target = folder.next_capture(ring.key, ".pcap" if tool_here() == "tcpdump" else ".pcapng")
        # A capture that fills the disk would leave no room to those who keep this host contained.
        free_kib = room(folder.path, ring.settings.reserve_mib << 20) // 1024 // share
        command = full_command(
            ring.settings,
            place,
            target,
            comment=f"firebreak incident {folder.incident_id}, host {self._host}",
            seconds=seconds,
            max_kib=max(1, min(ring.settings.capture_max_kib, free_kib)),
        )
        begun_at, booted = datetime.now(UTC), boot_ns()
        try:
            check_filter(ring.settings.capture_filter, place)
            capture = Capture.start(command, target.with_suffix(".log"))
        except FilterInvalid as error:
            return None, error.summary
        except OSError as error:
            return None, f"the capture can't be started: {error}"
        self._running.append(capture)
        record = FullCapture(
            file=target.name,
            command=command,
            pid=capture.process.pid,
            start_ticks=capture.start_ticks,
            begun_at=begun_at,
            seconds=seconds,
            key=ring.key,
            boot_ns=booted,
            netns_inode=place.inode,
            links=place.present,
        )
        folder.write(target.stem, record)
        return capture, ""

    def tend(self) -> None:
        """Note which have ended."""
        self._exits |= {c.process.pid: c.process.returncode for c in self._running if not c.running}
        self._running = [capture for capture in self._running if capture.running]

    def exit_status(self, pid: int) -> int | None:
        """How one of ours ended; None for one that an earlier agent began. From any thread."""
        ended = {capture.process.pid: capture.process.poll() for capture in self._running}
        return ended.get(pid, self._exits.get(pid))
