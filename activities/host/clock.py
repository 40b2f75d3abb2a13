"""What this host's clock can be trusted for: how far it is off, and whether somebody set it meanwhile.

Owns reading adjtimex(2) and comparing two clocks of the kernel. Never sets a clock.

    before = boot_ns()
    Ages(900).horizon()     # times before that are more than 900 s ago, whoever set the clock meanwhile
    clock_error(before)     # -> ClockError(offset_ms=-3600000.0, reason="the clock was set by -3600.0 s meanwhile")

An order carries no time that the host's clock could be compared with: its expiry is an upper bound. So the offset is
what the kernel's own discipline (NTP) estimates, where there is one, and unknown elsewhere.
"""

import ctypes
import time
from dataclasses import dataclass

# adjtimex(2): state of a clock that nothing disciplines, and the unit of `offset`.
_TIME_ERROR, _STA_NANO = 5, 0x2000
# A discipline slews by at most half a millisecond a second; this much was set by somebody.
JUMP_SECONDS = 1.0


class _Timex(ctypes.Structure):
    """struct timex as far as it is needed; the kernel writes 208 octets."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True)
class ClockError:
    """What times in an item are off by, in milliseconds; None: not known. `reason` names a jump."""

    offset_ms: float | None = None
    reason: str = ""


def boot_ns() -> int:
    """When the host booted, by its clock of now; the same until somebody sets the clock."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def clock_error(boot_before_ns: int | None, boot_after_ns: int | None = None) -> ClockError:
    """The clock's error for a time that began when the boot seemed to have been at `boot_before_ns`.

    After a jump the offset is the jump: what was dated before it is off by that, seen from the clock of now.
    """
    after = boot_ns() if boot_after_ns is None else boot_after_ns
    jumped = (after - boot_before_ns) / 1e9 if boot_before_ns is not None else 0.0
    if abs(jumped) > JUMP_SECONDS:
        return ClockError(jumped * 1000, f"the clock was set by {jumped:+.1f} s meanwhile: times before that are off")
    return ClockError(disciplined_offset_ms())


class Ages:
    """Since when what is dated by this host's clock is young enough; to be asked more often than files get old."""

    def __init__(self, max_age_seconds: float) -> None:
        self._max_age_seconds, self._boot_ns = max_age_seconds, boot_ns()
        self._jumps: list[tuple[float, float]] = []

    def horizon(self) -> float:
        """In seconds since 1970. To set the clock ahead makes nothing old that is not."""
        now, boot = time.clock_gettime(time.CLOCK_BOOTTIME), boot_ns()
        ahead, self._boot_ns = (boot - self._boot_ns) / 1e9, boot
        if ahead > JUMP_SECONDS:
            self._jumps.append((now, ahead))
        # What was dated before a jump is too old by all of it now, until it is of age itself.
        self._jumps = [jump for jump in self._jumps if now - jump[0] < self._max_age_seconds]
        return time.time() - self._max_age_seconds - sum(seconds for _, seconds in self._jumps)


def disciplined_offset_ms() -> float | None:
    """The kernel's own estimate; None where no NTP disciplines the clock."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0 or state == _TIME_ERROR:
        return None
    return float(timex.offset / (1e6 if timex.status & _STA_NANO else 1e3))
