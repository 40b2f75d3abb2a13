"""Command lines of dumpcap, and of tcpdump where dumpcap is not installed; their filters, checked before use.

Owns the options and what each tool can't do: dumpcap gives no capture comment to a ring; tcpdump knows neither pcapng
nor comments, takes one interface each and counts only at its end. Starts nothing but the check of a filter.

    tool_here()                                   # -> "dumpcap"
    check_filter("tcp prt 80", place)             # raises FilterInvalid with libpcap's words
    ring_command(settings, place, folder)
"""

import shutil
import subprocess
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from activities.host.namespaces import Place
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen

CaptureTool = Literal["dumpcap", "tcpdump"]
# The host's own work goes first, but a ring that waits too long for a processor loses packets.
RING_NICENESS = 5
_CHECK_SECONDS = 5.0
_MEGABYTE = 1_000_000


class FilterInvalid(FirebreakError):
    """A capture filter that libpcap does not take."""

    code: ClassVar[str] = "filter-invalid"


class PacketSettings(Frozen):
    """What is captured and how much of it may stay on this host."""

    interfaces: tuple[str, ...] = Field(
        description="Data interfaces, never `any`, which has no counters of loss; empty: every one but the loopback."
    )
    namespace: str = Field(default="", description="`pid:N`, `inode:N` or a path; empty: the agent's own.")
    capture_filter: str = Field(default="", description="libpcap syntax; leave the management link out by it.")
    buffer_mib: int = Field(default=16, ge=1, le=1024, description="Kernel buffer of each interface.")
    ring_files: int = Field(default=8, ge=2, le=1000)
    ring_file_kib: int = Field(default=16_384, ge=64, le=1 << 22)
    ring_file_seconds: int = Field(default=60, ge=1, le=86_400)
    capture_max_kib: int = Field(default=1 << 20, ge=64, description="End of a full-length capture by size.")
    reserve_mib: int = Field(default=64, ge=1, description="Room on the disk that is left to others.")


def tool_here() -> CaptureTool:
    """dumpcap, unless only tcpdump is installed."""
    return "tcpdump" if shutil.which("dumpcap") is None and shutil.which("tcpdump") else "dumpcap"


def rings_of(wanted: PacketSettings, prefix: str = "") -> dict[str, PacketSettings]:
    """The rings that it takes, by key: one, but one for each interface with tcpdump."""
    if tool_here() == "dumpcap" or len(wanted.interfaces) < 2:  # noqa: PLR2004  one needs no telling apart
        return {prefix: wanted}
    alone = [wanted.model_copy(update={"interfaces": (name,)}) for name in wanted.interfaces]
    return {f"{prefix}i{number}" if number > 1 else prefix: one for number, one in enumerate(alone, 1)}


def check_filter(expression: str, place: Place) -> None:
    """Have the tool compile it for the interface that it is for; dumpcap would only say so after it has started.

    Raises:
        FilterInvalid: with libpcap's message.
    """
    if not expression or not place.present:
        return
    interface = place.present[0].name
    dumpcap = ("dumpcap", "-d", "-i", interface, "-f", expression)
    command = dumpcap if tool_here() == "dumpcap" else ("tcpdump", "-d", "-i", interface, "--", expression)
    try:
        done = subprocess.run(
            place.command(command), capture_output=True, timeout=_CHECK_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FilterInvalid(f"The capture filter {expression!r} can't be checked: {error}.") from error
    said = done.stderr.decode(errors="replace")
    # dumpcap ends with 0 all the same; what it compiled goes to stdout.
    if done.returncode or not done.stdout.strip():
        raise FilterInvalid(
            f"The capture filter {expression!r} is invalid: {_message(said)}.", hint="Its syntax: pcap-filter(7)."
        )


def _message(said: str) -> str:
    """Libpcap's words among the tool's; in parentheses with dumpcap, after its name with tcpdump."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Capturing on")]
    for line in lines:
        if "(" in line and line.endswith(")."):
            return line[line.index("(") + 1 : -2]
    return lines[0].removeprefix("tcpdump: ") if lines else "no reason was given"


def ring_command(settings: PacketSettings, place: Place, folder: Path) -> tuple[str, ...]:
    """Files by time and size, the oldest replaced."""
    # A ring that nobody watches over any more ends by itself, in order, counters written.
    guard = ("setpriv", "--pdeathsig", "INT", "--", "nice", "-n", str(RING_NICENESS))
    if tool_here() == "tcpdump":
        megabytes = max(1, settings.ring_file_kib * 1024 // _MEGABYTE)
        ring = ("-C", str(megabytes), "-W", str(settings.ring_files), "-w", str(folder / "ring.pcap"))
        return place.command((*guard, *_tcpdump(settings, place, ring)))
    limits = (
        f"filesize:{settings.ring_file_kib}",
        f"duration:{settings.ring_file_seconds}",
        f"files:{settings.ring_files}",
    )
    options = [part for limit in limits for part in ("-b", limit)]
    return place.command((*guard, *_dumpcap(settings, place), *options, "-w", str(folder / "ring.pcapng")))


def full_command(
    settings: PacketSettings, place: Place, target: Path, *, comment: str, seconds: int, max_kib: int
) -> tuple[str, ...]:
    """One file that ends by itself after so long, whatever becomes of the agent."""
    if tool_here() == "tcpdump":
        ends = ("timeout", "--signal=INT", "--kill-after=3", str(seconds), "prlimit", f"--fsize={max_kib * 1024}")
        return place.command((*ends, *_tcpdump(settings, place, ("-w", str(target)))))
    limits = ("-a", f"duration:{seconds}", "-a", f"filesize:{max_kib}")
    return place.command(
        (*_dumpcap(settings, place), *limits, "--capture-comment", comment, "-w", str(target)),
    )


def _dumpcap(settings: PacketSettings, place: Place) -> tuple[str, ...]:
    options: list[str] = ["dumpcap", "-q", "-n"]
    for link in place.present:
        # -p: what this host sees anyway; promiscuous mode would show in the kernel's log and to the intruder.
        options += ["-i", link.name, "-p", "-s", "0", "-B", str(settings.buffer_mib)]
        options += ["-f", settings.capture_filter] if settings.capture_filter else []
    return tuple(options)


def _tcpdump(settings: PacketSettings, place: Place, output: tuple[str, ...]) -> tuple[str, ...]:
    # -Z root: Debian's would open the second file as another user. Immediate: nothing waits in a buffer at the end.
    options = ("-n", "-p", "-U", "-Z", "root", "--immediate-mode", "-s", "0", "-B", str(settings.buffer_mib * 1024))
    interface = ("-i", place.present[0].name) if place.present else ()
    expression = ("--", settings.capture_filter) if settings.capture_filter else ()
    return ("tcpdump", *options, *interface, *output, *expression)
