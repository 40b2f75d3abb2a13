"""Mounts, scheduled work and package integrity of this host, for the record.

Owns what a volatile collection takes from the disk as documents. Bounded in entries, in size and in time. Nothing that
it finds is run.

    read_cron(deadline)       # -> ([{"path": "/etc/crontab", "text": "...", ...}], "")
    read_packages(folder, deadline)
"""

import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from activities.host.opening import NotAFile, opened
from activities.host.processes import MAX_PATH, printable
from activities.host.spool import Spooled, spool_output

Entry = dict[str, Any]
_MOUNTS = Path("/proc/thread-self/mountinfo")
_MAX_MOUNTS_BYTES = 8 << 20
_MAX_TEXT_BYTES = 64 << 10
_MAX_FILES = 2_000
_MAX_REPORT_BYTES = 16 << 20
_OCTAL = re.compile(r"\\([0-7]{3})")
_CRON = ("/etc/crontab", "/etc/anacrontab")
_CRON_FOLDERS = (
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/etc/cron.yearly",
    "/var/spool/cron",
    "/var/spool/anacron",
    "/var/spool/at",
)
_UNIT_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd")
# A timer starts the unit of its name unless it says otherwise.
_UNIT_SUFFIXES = (".timer", ".service")
_DPKG, _RPM = ("dpkg", "--verify"), ("rpm", "-Va")
_RPM_DATABASES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
# dpkg(1), --verify-format: nine marks or `missing`, a letter for configuration files, the path.
_CHANGED = re.compile(r"(?P<marks>\S+)\s+(?:(?P<attribute>[a-z]) )?\s*(?P<path>/.*)")


def read_mounts() -> list[Entry]:
    """Lines of mountinfo, proc(5): optional fields end with a hyphen."""
    with _MOUNTS.open("rb") as file:
        lines = file.read(_MAX_MOUNTS_BYTES).decode("utf-8", "backslashreplace").splitlines()
    return [_mount(line) for line in lines if " - " in line]


def _mount(line: str) -> Entry:
    before, _, after = line.partition(" - ")
    number, parent, device, root, point, options, *_ = before.split(" ")
    kind, source, more = (*after.split(" "), "", "")[:3]
    return {
        "id": int(number),
        "parent": int(parent),
        "device": device,
        "root": _plain(root),
        "mounted_on": _plain(point),
        "options": printable(options, MAX_PATH).split(","),
        "type": printable(kind),
        "source": _plain(source),
        "super_options": printable(more, MAX_PATH).split(","),
    }


def _plain(text: str) -> str:
    return printable(_OCTAL.sub(lambda found: chr(int(found[1], 8)), text), MAX_PATH)


def read_cron(deadline: float) -> tuple[list[Entry], str]:
    """Every table of scheduled work, and why some are missing, if so."""
    entries: list[Entry] = []
    for path in _scheduled():
        if time.monotonic() > deadline:
            return entries, f"the time budget was spent before {printable(path)}"
        if len(entries) >= _MAX_FILES:
            return entries, f"more than {_MAX_FILES} files"
        entries += _text_file(path)
    return entries, ""


def _scheduled() -> Iterator[str]:
    yield from (path for path in _CRON if os.path.lexists(path))
    for folder in _CRON_FOLDERS:
        yield from _files_below(folder)
    homes = sorted({f"{user.pw_dir}/.config/systemd/user" for user in pwd.getpwall()})
    seen: set[tuple[int, int]] = set()
    for folder in (*_UNIT_FOLDERS, *homes):
        place = Path(folder)
        if not place.is_dir():
            continue
        found = place.stat()  # /lib is often /usr/lib
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            yield from _timers(sorted(_files_below(folder)))


def _timers(paths: list[str]) -> Iterator[str]:
    """Timers, and the services that they start by name."""
    timed = {Path(path).stem for path in paths if path.endswith(".timer")}
    yield from (path for path in paths if Path(path).stem in timed and path.endswith(_UNIT_SUFFIXES))


def _files_below(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):  # follows no link
        folders.sort()
        yield from (f"{place}/{name}" for name in sorted(names))


def _text_file(path: str) -> list[Entry]:
    entry: Entry = {"path": printable(path, MAX_PATH)}
    try:
        with opened(path) as file:
            raw = os.read(file.descriptor, _MAX_TEXT_BYTES)
            entry |= {**file.metadata, "via": file.via, "text": raw.decode("utf-8", "backslashreplace")}
            entry["cut"] = file.metadata["size"] > len(raw)
    except NotAFile as error:
        entry |= {**error.metadata, "why": error.summary}
    except FileNotFoundError:
        return []
    except OSError as error:
        entry["why"] = str(error)
    return [entry]


def package_command() -> tuple[str, ...]:
    """The command that compares this host's files with its packages; empty where there are none."""
    if Path("/var/lib/dpkg/status").exists():
        return _DPKG
    return _RPM if any(Path(path).is_dir() for path in _RPM_DATABASES) else ()


def read_packages(
    command: tuple[str, ...], folder: Path, deadline: float, beat: Callable[[], None] = lambda: None
) -> tuple[list[Entry], Spooled]:
    """Files that differ from what their packages brought; reads every file of every package."""
    report = folder / "packages.draft"
    spooled = spool_output(command, report, _MAX_REPORT_BYTES, deadline, beat=beat)
    text = report.read_text(encoding="utf-8", errors="backslashreplace")
    report.unlink()
    # Only the last line can be half: its writer was ended.
    lines = text.split("\n")[:-1]
    return [_difference(line) for line in lines if line.strip()], spooled


def _difference(line: str) -> Entry:
    found = _CHANGED.fullmatch(line)
    if found is None:
        return {"line": printable(line, MAX_PATH)}
    return {
        "marks": found["marks"],
        "configuration": found["attribute"] == "c",
        "path": printable(found["path"], MAX_PATH),
    }
