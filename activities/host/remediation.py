"""Ending the process groups of an intruder, and making sure that they ended.

Owns the checks that nobody else is hit: a pid that changed hands, a program that was replaced, our own
session. SIGKILL reaches a whole group at once (kill(2)); a member that forks at that moment leaves no child
behind.

    end_groups(found.processes)   # -> Killed(ended=(4711, 4712), confirmed=True)
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from activities.contracts.host import MAX_LINES, MAX_PIDS, Killed, ProcessRef
from activities.host import processes
from activities.host.observe import own_netns
from activities.host.processes import Stat
from segmentation.bounds import few

PERMISSIONS = ("CAP_KILL", *processes.PERMISSIONS)
_END_SECONDS = 5.0
_PACE_SECONDS = 0.005


def end_groups(accused: Iterable[ProcessRef]) -> Killed:
    """Kill the group of everyone accused who still is who was seen; wait until nobody of it lives."""
    verdicts = {ref: _objection(ref) for ref in accused}
    gone = {ref for ref in verdicts if not _is_same(ref)}
    groups = {ref.pgid for ref, objection in verdicts.items() if not objection and _group_is_same(ref)}
    for pgid in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pgid, signal.SIGKILL)
    survivors = _await_end(groups) | {ref.pid for ref, objection in verdicts.items() if objection}
    alive = sorted(survivors)
    objections = [f"{ref.pid}: {objection}" for ref, objection in verdicts.items() if objection]
    if len(alive) > MAX_PIDS:
        objections.insert(0, f"{len(alive) - MAX_PIDS} more survive than are named")
    return Killed(
        ended=tuple(sorted(ref.pid for ref in verdicts if ref not in gone and ref.pid not in survivors)),
        gone_before=tuple(sorted(ref.pid for ref in gone)),
        survivors=tuple(alive[:MAX_PIDS]),
        confirmed=not survivors,
        reasons=few(objections, MAX_LINES),
    )


def _objection(ref: ProcessRef) -> str:
    """Why the group of this process must not be killed; empty when it may be, or nobody is left of it."""
    present = processes.members(ref.pgid)
    if ref.pgid == os.getpgid(0) or any(member.session == os.getsid(0) for member in present):
        return "it belongs to the agent's own session"
    if any(member.pid == 1 for member in present):
        return "process 1 is of its group"
    return _changed(ref) if _is_same(ref) else ""


def _changed(ref: ProcessRef) -> str:
    """What of a living process is not as it was seen."""
    now = processes.stat(ref.pid)
    if now is not None and now.pgid != ref.pgid:
        return f"it moved from process group {ref.pgid} to {now.pgid}; find it again"
    if processes.netns_of(ref.pid) != own_netns():
        return "it lives in another network namespace, that is on another host"
    program = processes.executable_of(ref.pid)
    return "" if program == ref.executable else f"it runs {program} now and not {ref.executable}; find it again"


def _is_same(ref: ProcessRef) -> bool:
    now = processes.stat(ref.pid)
    return now is not None and now.living and now.start_ticks == ref.start_ticks


def _group_is_same(ref: ProcessRef) -> bool:
    """Whether the group's number still means the group that was seen, even if the accused has ended.

    A number is not given away while the group has members, and a group that got it later has a later leader.
    """
    if _is_same(ref):
        return True
    leader = processes.stat(ref.pgid)
    if leader is not None and leader.living:
        return ref.pid != ref.pgid and leader.start_ticks <= ref.start_ticks
    return any(processes.executable_of(member.pid) == ref.executable for member in processes.members(ref.pgid))


def _await_end(groups: set[int]) -> set[int]:
    """Pids that outlive the time."""
    deadline = time.monotonic() + _END_SECONDS
    left = _living(groups)
    while left and time.monotonic() < deadline:
        time.sleep(_PACE_SECONDS)
        left = _living(groups)
    return {member.pid for member in left}


def _living(groups: set[int]) -> list[Stat]:
    return [member for pgid in groups for member in processes.members(pgid)]
