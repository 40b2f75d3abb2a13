"""Where each kind of volatile state is read, and how much of it at most.

Owns one function for each collector: commands with JSON output where there are any, /proc otherwise, the
calling thread's network namespace always. Text that an intruder chose is bounded and escaped.

    SOURCES["routes"](work)     # -> Reading(entries=[...], tool="ip", command=("ip", "-j", ...))
"""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

from activities.host.processes import printable
from activities.host.spool import read_output
from activities.host.volatile_disk import package_command, read_cron, read_mounts, read_packages
from activities.host.volatile_files import Work
from activities.host.volatile_processes import MAX_ENTRIES, Entry, not_allowed, read_processes, read_sockets
from playbooks.forensics import Collector
from segmentation.errors import FirebreakError

_MODULES = Path("/proc/modules")
_UTMP = Path("/var/run/utmp")
_WTMP = Path("/var/log/wtmp")
# utmp(5) on 64-bit Linux: type, pid, line, id, user, host, exit, session, seconds, microseconds, address.
_LOGIN = struct.Struct("<hxxi32s4s32s256shhiii4I20x")
_LOGIN_KINDS = {1: "runlevel", 2: "boot", 5: "init", 6: "login", 7: "user", 8: "ended"}
_LOGINS_BACK = 200
_STATE_PLACE = 5
# More text than twenty thousand entries are.
_MAX_OUTPUT_BYTES = 32 << 20


class SourceFailed(FirebreakError):
    """A command that did not give what it should."""

    code: ClassVar[str] = "volatile-source-failed"


class SourceMissing(FirebreakError):
    """This host has no such thing."""

    code: ClassVar[str] = "volatile-source-missing"


@dataclass(frozen=True)
class Reading:
    """What was read. `truncated`: why something is missing; `note`: why that may be; the last command's status."""

    entries: list[Entry] = field(default_factory=list)
    tool: str = ""
    command: tuple[str, ...] = ()
    truncated: str = ""
    note: str = ""
    exit_status: int | None = None


def _bounded(
    entries: list[Entry],
    *,
    tool: str = "",
    command: tuple[str, ...] = (),
    cut: str = "",
    note: str = "",
    exit_status: int | None = None,
) -> Reading:
    if len(entries) > MAX_ENTRIES:
        more = f"more than {MAX_ENTRIES} entries, the first of them are kept"
        cut = "; ".join(filter(None, (more, cut)))
    # A command that did not end with 0 has raised.
    status = 0 if tool and exit_status is None else exit_status
    return Reading(entries[:MAX_ENTRIES], tool, command, cut, note, status)


def _run(command: tuple[str, ...], work: Work) -> tuple[str, str]:
    """What it printed, and why that is not all, if so."""
    output, done = read_output(command, _MAX_OUTPUT_BYTES, work.deadline, beat=work.beat)
    if done.exit_status and not done.truncated:
        raise SourceFailed(f"{' '.join(command)} ended with {done.exit_status}: {done.said}")
    return output.decode(errors="backslashreplace"), done.truncated


def _json_command(*commands: tuple[str, ...]) -> Callable[[Work], Reading]:
    def read(work: Work) -> Reading:
        entries: list[Entry] = []
        for command in commands:
            output, cut = _run(command, work)
            if cut:
                raise SourceFailed(f"{' '.join(command)}: {cut}, and what there is of its JSON can't be read.")
            found = json.loads(output or "[]")
            entries += found["nftables"] if isinstance(found, dict) else found
        return _bounded(entries, tool=commands[0][0], command=tuple(word for c in commands for word in (*c, ";"))[:-1])

    return read


def _sockets(work: Work) -> Reading:
    entries, cut = read_sockets(work.digests)
    return _bounded(entries, cut=cut, note=not_allowed())


def _processes(work: Work) -> Reading:
    entries, cut = read_processes(work.deadline, work.digests)
    return _bounded(entries, cut=cut, note=not_allowed())


def _conntrack(work: Work) -> Reading:
    entries: list[Entry] = []
    why = ""
    for family in ("ipv4", "ipv6"):
        output, cut = _run(("conntrack", "-L", "-f", family, "-o", "extended"), work)
        # The last line of an output that was cut may be half.
        lines = output.split("\n")[:-1] if cut else output.splitlines()
        entries += [_flow(family, line) for line in lines[: MAX_ENTRIES + 1]]
        why = why or cut
    return _bounded(entries, tool="conntrack", command=("conntrack", "-L", "-o", "extended"), cut=why)


def _flow(family: str, line: str) -> Entry:
    """Conntrack prints each tuple as key=value twice: as sent, then as answered."""
    words = line.split()
    sent: dict[str, str] = {}
    answered: dict[str, str] = {}
    for key, value in (word.split("=", 1) for word in words if "=" in word):
        (answered if key in sent else sent)[key] = value
    # "ipv4 2 tcp 6 431999 ESTABLISHED src=...": protocols without states have the first tuple there.
    before = [word for word in words if "=" not in word and not word.startswith("[")]
    state = before[_STATE_PLACE] if len(before) > _STATE_PLACE else ""
    flags = [word.strip("[]") for word in words if word.startswith("[")]
    return {
        "family": family,
        "protocol": words[2],
        "state": state,
        "flags": flags,
        "sent": sent,
        "answered": answered,
    }


def _logins(_work: Work) -> Reading:
    now = [{"source": "utmp", **entry} for entry in _read_logins(_UTMP)]
    before = [{"source": "wtmp", **entry} for entry in _read_logins(_WTMP)[-_LOGINS_BACK:]]
    return _bounded(now + before)


def _read_logins(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        # The end alone, on the bounds of records: whoever owns the host can make this file as large as they like.
        whole = os.fstat(file.fileno()).st_size // _LOGIN.size
        file.seek(max(0, whole - _LOGINS_BACK) * _LOGIN.size)
        data = file.read(_LOGINS_BACK * _LOGIN.size)
    usable = len(data) - len(data) % _LOGIN.size
    return [_login(fields) for fields in _LOGIN.iter_unpack(data[:usable]) if fields[0] in _LOGIN_KINDS]


def _login(fields: tuple[Any, ...]) -> Entry:
    kind, pid, line, _, user, host, _, _, _, seconds, micros, *address = fields
    raw = struct.pack("<4I", *address)
    remote = ip_address(raw if any(raw[4:]) else raw[:4])
    return {
        "kind": _LOGIN_KINDS[kind],
        "pid": pid,
        "line": printable(line.rstrip(b"\0")),
        "user": printable(user.rstrip(b"\0")),
        "from": printable(host.rstrip(b"\0")),
        "address": str(remote) if int(remote) else "",
        "at": datetime.fromtimestamp(seconds + micros / 1e6, UTC).isoformat(),
    }


def _modules(_work: Work) -> Reading:
    entries: list[Entry] = []
    # A kernel without loadable modules has no such file.
    lines = _MODULES.read_text(encoding="utf-8", errors="replace").splitlines() if _MODULES.exists() else []
    for line in lines:
        name, size, uses, users, state, *rest = line.split()
        taints = rest[1] if len(rest) > 1 else ""
        by = [user for user in users.split(",") if user not in ("", "-")]
        entries.append(
            {
                "name": name,
                "size": int(size),
                "uses": int(uses),
                "used_by": by,
                "state": state,
                "taints": taints,
            }
        )
    return _bounded(entries)


def _mounts(_work: Work) -> Reading:
    return _bounded(read_mounts())


def _cron(work: Work) -> Reading:
    entries, cut = read_cron(work.deadline)
    return _bounded(entries, cut=cut)


def _packages(work: Work) -> Reading:
    command = package_command()
    if not command:
        raise SourceMissing("This host has neither dpkg's nor rpm's database of packages.")
    entries, spooled = read_packages(command, work.folder, work.deadline, work.beat)
    # Either ends with 1 when files differ; without any line that is a failure.
    if spooled.exit_status and not entries and not spooled.truncated:
        raise SourceFailed(f"{' '.join(command)} ended with {spooled.exit_status}: {spooled.said}")
    status = spooled.exit_status
    return _bounded(entries, tool=command[0], command=command, cut=spooled.truncated, exit_status=status)


_ROUTES = ("ip", "-j", "-d")
SOURCES: dict[Collector, Callable[[Work], Reading]] = {
    "sockets": _sockets,
    "conntrack": _conntrack,
    "neighbours": _json_command(("ip", "-j", "neighbour", "show")),
    "routes": _json_command(
        (*_ROUTES, "-4", "route", "show", "table", "all"), (*_ROUTES, "-6", "route", "show", "table", "all")
    ),
    "processes": _processes,
    "ruleset": _json_command(("nft", "-j", "list", "ruleset")),
    "logins": _logins,
    "modules": _modules,
    "mounts": _mounts,
    "cron": _cron,
    "packages": _packages,
}
