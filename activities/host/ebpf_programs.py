"""Which bpftrace programs run on this host, and which its kernel does not take.

Owns the choice, their text as one program, and whose mistake a complaint is about. Programs are fixed files in
`bpftrace/`; nothing that an order says becomes code. Never starts anything.

    programs = Programs()
    programs.write(folder / "program.bt")
    programs.leave_out("program.bt:12:3-9: ERROR: tracepoint not found: ...")
    programs.chosen, programs.reason     # -> ("connections", "attempts", "dns", "executions"), "denials left out: ..."
"""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

# First and last are what the rehearsal sees, so that whatever is between them is attached too.
_FIRST, _LAST = "connections", "executions"
_OPTIONAL = ("attempts", "dns", "denials")
_NO_REASONS = "the kernel names no reason for which it drops packets"
# As in `program.bt:12:3-9: ERROR: ...`, or `program.bt:1-12: ERROR: ...` for what it finds missing in the last.
_PLACE = re.compile(r"program\.bt:(?:\d+-)?(\d+)")
# bpftrace 0.17 always tries to raise this limit and complains where it can't; BPF memory has not counted
# against it since Linux 5.11.
_HARMLESS = re.compile(r"RLIMIT_MEMLOCK")
SHIPPED = files("activities.host").joinpath("bpftrace")


class Programs:
    """The choice, which changes only with what the kernel refuses."""

    def __init__(self, sources: Traversable = SHIPPED) -> None:
        self._sources = sources
        self._left_out: dict[str, str] = {}
        self._begins: dict[str, int] = {}
        self._with_denials = True

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names, in the order in which they are attached."""
        return (_FIRST, *self._optional(), _LAST)

    @property
    def reason(self) -> str:
        """What is left out and why."""
        absent = {} if self._with_denials else {"denials": _NO_REASONS}
        return "; ".join(f"{name} left out: {why}" for name, why in (self._left_out | absent).items())

    def want_denials(self, *, named: bool) -> None:
        """Denials are told by their reasons: without names there are none."""
        self._with_denials = named

    def write(self, target: Path) -> None:
        """All that are chosen as one program."""
        lines: list[str] = []
        for name in self.chosen:
            self._begins[name] = len(lines) + 1
            lines += self._sources.joinpath(f"{name}.bt").read_text().split("\n")
        target.write_text("\n".join(lines), encoding="utf-8")

    def leave_out(self, complaint: str) -> None:
        """A kernel whose packets look different fails one program and with it the whole: once more without."""
        optional = self._optional()
        if not optional:
            # None of them was why: when that is mended, all of them are wanted again.
            self._left_out.clear()
            return
        blamed = self._blamed(complaint)
        self._left_out[blamed if blamed in optional else optional[-1]] = complaint

    def _optional(self) -> tuple[str, ...]:
        wanted = _OPTIONAL if self._with_denials else tuple(name for name in _OPTIONAL if name != "denials")
        return tuple(name for name in wanted if name not in self._left_out)

    def _blamed(self, complaint: str) -> str:
        """The program in whose lines bpftrace found a mistake; empty where it names none."""
        found = _PLACE.search(complaint)
        line = int(found[1]) if found else 0
        chosen = set(self.chosen)
        begun = [(first, name) for name, first in self._begins.items() if name in chosen and line >= first]
        return max(begun)[1] if begun else ""


def complaint(log: Path) -> str:
    """What bpftrace said of why it ended."""
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if "error" in line.lower() and not _HARMLESS.search(line)]
    return said[0][:300] if said else "bpftrace ended without a word"
