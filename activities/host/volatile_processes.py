"""Processes and sockets of the calling thread's network namespace, from /proc, for the record.

Owns the two long lists of a volatile collection. Executables are hashed by `executable_digests`; one that has no hash
says why. Bounded in entries, in text and in time. Never signals.

    entries, cut = read_processes(deadline, digests)
    read_sockets(digests)     # -> [{"protocol": "tcp", "local": "10.77.0.11", "local_port": 8000, ...}], ""
"""

import os
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Any

from activities.host.executable_digests import Digest, Digests, told
from activities.host.kernel_events import STATES
from activities.host.observe import own_netns
from activities.host.processes import executable_of, netns_of, owners, printable, stat

Entry = dict[str, Any]
MAX_ENTRIES = 20_000
_MAX_ARGUMENT_BYTES = 16 << 10
_PROC = Path("/proc")
# /proc/net is the process's; this is the thread's.
_NET = Path("/proc/thread-self/net")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTS = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6")
_ETHERTYPES = {3: "all", 0x0800: "ipv4", 0x0806: "arp", 0x86DD: "ipv6"}


def read_processes(deadline: float, digests: Digests) -> tuple[list[Entry], str]:
    """Every process of this namespace, and why some of it is missing, if so."""
    ours = own_netns()
    entries: list[Entry] = []
    hashed: list[tuple[str, Digest]] = []
    pids = sorted(int(name.name) for name in _PROC.iterdir() if name.name.isdigit())
    for pid in pids:
        if time.monotonic() > deadline:
            return entries, f"the time budget was spent at process {pid}"
        try:
            if netns_of(pid) == ours and (found := _process(pid, digests)):
                entry, digest = found
                entries.append(entry)
                hashed.append((entry["executable"], digest))
        except _GONE:
            continue
    return entries, told(hashed)


def read_sockets(digests: Digests) -> tuple[list[Entry], str]:
    """Every internet and packet socket of this namespace with its processes, and why hashes are missing, if so."""
    found = [entry for name in _LISTS for entry in _internet(name)] + list(_packet())
    held = defaultdict(list)
    for pid, inodes in owners({entry["inode"] for entry in found}).items():
        for inode in inodes:
            held[inode].append(pid)
    programs: dict[int, Entry] = {}
    hashed: list[tuple[str, Digest]] = []
    for pid in sorted({pid for pids in held.values() for pid in pids}):
        executable = executable_of(pid) or ""
        digest = digests.of(pid) if executable else Digest()
        programs[pid] = {"pid": pid, "executable": executable, "sha256": digest.sha256} | _why("unhashed", digest)
        hashed.append((executable, digest))
    for entry in found:
        entry["pids"] = sorted(held[entry["inode"]])
        entry["executables"] = sorted({programs[pid]["executable"] for pid in entry["pids"]})
        entry["programs"] = [programs[pid] for pid in entry["pids"]]
    return found, told(hashed)


def not_allowed() -> str:
    """How many processes may not be looked into, so that nobody knows whose they and their sockets are."""
    hidden = sum(1 for name in _PROC.iterdir() if name.name.isdigit() and _is_hidden(name))
    if not hidden:
        return ""
    return f"not allowed to look into {hidden} of this host's processes (CAP_SYS_PTRACE): they and theirs are left out"


def _is_hidden(process: Path) -> bool:
    try:
        (process / "ns" / "net").stat()
    except PermissionError:
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False
    return False


def _why(name: str, digest: Digest) -> Entry:
    return {name: digest.why} if digest.why else {}


def _process(pid: int, digests: Digests) -> tuple[Entry, Digest] | None:
    before = stat(pid)
    if before is None:
        return None
    folder = _PROC / str(pid)
    status = dict(line.split(":\t", 1) for line in _text(folder / "status").splitlines() if ":\t" in line)
    executable = executable_of(pid) or ""
    digest = digests.of(pid) if executable and before.living else Digest()
    entry = {
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
        "executable_sha256": digest.sha256,
        **_why("executable_unhashed", digest),
        "command": _command(folder),
        "cgroup": printable(_text(folder / "cgroup").strip().rpartition(":")[2]),
        "directory": _link(folder / "cwd"),
    }
    return entry, digest


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
    for line in _lines(_NET / name):
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


def _lines(path: Path) -> Iterator[str]:
    """Below the heading, and no more than are kept: whoever holds sockets decides how many there are."""
    if path.exists():
        with path.open(encoding="utf-8", errors="backslashreplace") as lines:
            yield from islice(lines, 1, MAX_ENTRIES + 2)


def _endpoint(text: str) -> tuple[str, int]:
    words, port = text.split(":")
    packed = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    address = ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), int(port, 16)


def _packet() -> Iterator[Entry]:
    """Sockets that read whole frames: ours, and those of whoever else listens in."""
    for line in _lines(_NET / "packet"):
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
