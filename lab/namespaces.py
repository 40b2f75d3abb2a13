"""Network namespaces by name, and who is inside.

Owns creating, listing and removing them under /run/netns, where ip(8) looks for them. Never knows hosts or
rules.

    create("fb-web"); pids("fb-web"); remove("fb-web")
"""

import os
import subprocess
from pathlib import Path

from pyroute2 import netns

from lab.entering import RUN_DIR


def create(namespace: str) -> None:
    """Create a namespace with its loopback still down."""
    netns.create(namespace)


def exists(namespace: str) -> bool:
    """Whether the name is taken, even by a file that no longer holds a namespace."""
    return (RUN_DIR / namespace).exists()


def remove(namespace: str) -> None:
    """Take the name away; the kernel frees the namespace with its last process and socket."""
    if exists(namespace):
        netns.remove(namespace)


def pids(namespace: str) -> tuple[int, ...]:
    """Processes whose main thread lives in the namespace."""
    try:
        wanted = (RUN_DIR / namespace).stat()
    except FileNotFoundError:
        return ()
    running = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return tuple(pid for pid in running if _is_in(pid, wanted))


def _is_in(pid: int, wanted: os.stat_result) -> bool:
    try:
        found = Path(f"/proc/{pid}/ns/net").stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # ended while we looked, or a zombie, which has no namespace any more
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def mounts(namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Mount points of the caller's mount namespace that belong to these namespaces."""
    names = {str(RUN_DIR / namespace) for namespace in namespaces}
    return tuple(point for point in _mount_points() if point in names)


def run_dir_is_mounted() -> bool:
    """Whether /run/netns is the shared mount that the first named namespace brings about (ip-netns(8))."""
    return str(RUN_DIR) in _mount_points()


def unmount_run_dir() -> None:
    """Undo that mount, unless somebody else's namespaces live there by now."""
    if run_dir_is_mounted() and not any(RUN_DIR.iterdir()):
        subprocess.run(["umount", str(RUN_DIR)], check=True, capture_output=True, timeout=10)


def _mount_points() -> tuple[str, ...]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return tuple(line.split()[4] for line in lines)
