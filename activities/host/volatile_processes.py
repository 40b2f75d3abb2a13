"""Processes and sockets of the calling thread's network namespace, from /proc, for the record.

Owns the two long lists of a volatile collection. An executable is hashed once however many processes run
it. Bounded in entries, in text and in time. Never signals, never waits.

    entries, cut = read_processes(deadline)
    read_sockets(deadline)     # -> [{"protocol": "tcp", "local": "10.77.0.11", "local_port": 8000, ...}]
"""

import contextlib
import hashlib
import os
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from activities.host.kernel_events import STATES
from activities.host.observe import own_netns
from activities.host.processes import executable_of, netns_of, owners, printable, stat

Entry = dict[str, Any]
MAX_ENTRIES = 20_000
_MAX_EXECUTABLE_BYTES = 256 << 20
_MAX_ARGUMENT_BYTES = 16 << 10
_PROC = Path("/proc")
# /proc/net is the process's; this is the thread's.
_NET = Path("/proc/thread-self/net")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTS = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6")
_ETHERTYPES = {3: "all", 0x0800: "ipv4", 0x0806: "arp", 0x86DD: "ipv6"}


def read_processes(deadline: float) -> tuple[list[Entry], str]:
    """Every process of this namespace, and why some are missing, if so."""
    ours, hashes = own_netns(), _Hashes()
    entries: list[Entry] = []
    pids = sorted(int(name.name) for name in _PROC.iterdir() if name.name.isdigit())
    for pid in pids:
        if time.monotonic() > deadline:
            return entries, f"the time budget was spent at process {pid}"
        try:
            if netns_of(pid) == ours and (entry := _process(pid, hashes)):
                entries.append(entry)
        except _GONE:
            continue
    return entries, ""


def read_sockets(deadline: float) -> tuple[list[Entry], str]:
    """Every internet and packet socket of this namespace with its processes, and why hashes are missing, if so."""
    found = [entry for name in _LISTS for entry in _internet(name)] + list(_packet())
    held = defaultdict(list)
    for pid, inodes in owners({entry["inode"] for entry in found}).items():
        for inode in inodes:
            held[inode].append(pid)
    hashes = _Hashes()
    programs = {pid: _program(pid, hashes, deadline) for pids in held.values() for pid in pids}
    for entry in found:
        entry["pids"] = sorted(held[entry["inode"]])
        entry["executables"] = sorted({programs[pid]["executable"] for pid in entry["pids"]})
        entry["programs"] = [programs[pid] for pid in entry["pids"]]
    return found, "" if time.monotonic() < deadline else "the time budget was spent: some executables have no hash"


def _program(pid: int, hashes: "_Hashes", deadline: float) -> Entry:
    """What a process runs, deleted from the disk or not; without a digest once the time is over, or it has ended."""
    executable, digest = executable_of(pid) or "", ""
    if executable and time.monotonic() < deadline:
        with contextlib.suppress(*_GONE):
            digest = hashes.of(_PROC / str(pid) / "exe")
    return {"pid": pid, "executable": executable, "sha256": digest}


class _Hashes:
    """Digests of executables by what they are on disk."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], str] = {}

    def of(self, executable: Path) -> str:
        with executable.open("rb") as file:
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino, found.st_mtime_ns)
            if key not in self._known:
                small = found.st_size <= _MAX_EXECUTABLE_BYTES
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest() if small else ""
            return self._known[key]


def _process(pid: int, hashes: _Hashes) -> Entry | None:
    before = stat(pid)
    if before is None:
        return None
    folder = _PROC / str(pid)
    status = dict(line.split(":\t", 1) for line in _text(folder / "status").splitlines() if ":\t" in line)
    executable = executable_of(pid) or ""
    return {
        "pid": pid,
        "ppid": int(status.get("PPid", "0")),
        "pgid": before.pgid,
        "session": before.session,
        "state": before.state,
        "name": printable(status.get("Name", "")),
        "uid": int(status.get("Uid", "0").split()[0]),
        "gid": int(status.get("Gid", "0").split()[0]),
        "capabilities": status.get("CapEff", "").strip(),
        "tracer": int(status.get("TracerPid", "0")),
        "started": _start_time(before.start_ticks),
        "start_ticks": before.start_ticks,
        "executable": executable,
        "executable_deleted": executable.endswith(" (deleted)"),
        "executable_sha256": hashes.of(folder / "exe") if executable and before.living else "",
        "command": _command(folder),
        "cgroup": printable(_text(folder / "cgroup").strip().rpartition(":")[2]),
        "directory": _link(folder / "cwd"),
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace")


def _link(path: Path) -> str:
    try:
        return printable(str(path.readlink()))
    except _GONE:
        return ""


def _command(folder: Path) -> list[str]:
    with (folder / "cmdline").open("rb") as file:
        raw = file.read(_MAX_ARGUMENT_BYTES)
    return [printable(part) for part in raw.rstrip(b"\0").split(b"\0")] if raw else []


def _start_time(ticks: int) -> str:
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return datetime.fromtimestamp(booted + ticks / _TICKS, UTC).isoformat(timespec="milliseconds")


def _internet(name: str) -> Iterator[Entry]:
    """Lines of /proc/net/tcp and its kin (proc(5)); addresses are hexadecimal words in the host's order."""
    path = _NET / name
    for line in _text(path).splitlines()[1:] if path.exists() else ():
        fields = line.split()
        local, local_port = _endpoint(fields[1])
        remote, remote_port = _endpoint(fields[2])
        state = int(fields[3], 16)
        yield {
            "protocol": name.removesuffix("6"),
            "local": local,
            "local_port": local_port,
            "remote": remote,
            "remote_port": remote_port,
            "state": STATES[state] if name.startswith("tcp") and state < len(STATES) else "",
            "uid": int(fields[7]),
            "inode": int(fields[9]),
        }


def _endpoint(text: str) -> tuple[str, int]:
    words, port = text.split(":")
    packed = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), int(port, 16)


def _packet() -> Iterator[Entry]:
    """Sockets that read whole frames: ours, and those of whoever else listens in."""
    path = _NET / "packet"
    for line in _text(path).splitlines()[1:] if path.exists() else ():
        _, _, kind, protocol, interface, _, _, uid, inode = line.split()[:9]
        number = int(protocol, 16)
        yield {
            "protocol": "packet",
            "type": socket.SocketKind(int(kind)).name,
            "ethertype": _ETHERTYPES.get(number, hex(number)),
            "ifindex": int(interface),
            "uid": int(uid),
            "inode": int(inode),
        }
