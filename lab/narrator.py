"""What a person sees while the demo runs: steps with their times, and the incident's timeline as it grows.

Owns the words on the terminal. On a pipe it prints plain lines.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

from lab.summary import Summary

STAGE_STYLE = {
    "detect": "cyan",
    "triage": "cyan",
    "contain": "bold red",
    "forensics": "magenta",
    "remediate": "yellow",
    "release": "green",
    "learn": "blue",
    "closed": "bold green",
}


class Narrator:
    """Prints steps and events."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._told: set[str] = set()
        self._opened: datetime | None = None

    def title(self, text: str, subtitle: str) -> None:
        """The headline."""
        self.console.print(Panel(escape(subtitle), title=f"[bold]{escape(text)}", border_style="red", expand=False))

    @contextmanager
    def step(self, text: str) -> Iterator[Status]:
        """One step: a spinner while it lasts, a line with its time when it is done."""
        started = time.monotonic()
        with self.console.status(escape(text)) as status:
            yield status
        self.console.print(f"[green]✓[/] {escape(text)} [dim]{time.monotonic() - started:.1f} s")

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text)

    def events(self, incident: dict[str, Any]) -> None:
        """Print the lines of the timeline that are new."""
        for event in incident.get("timeline", []):
            key = f"{event['at']}{event['kind']}{event['summary']}"
            if key in self._told:
                continue
            self._told.add(key)
            moment = datetime.fromisoformat(event["at"])
            self._opened = self._opened or moment
            since = (moment - self._opened).total_seconds()
            style = STAGE_STYLE.get(event["stage"], "white")
            stage = f"[{style}]{event['stage']:<10}[/]"
            self.console.print(
                f"  [dim]{since:+8.3f} s[/] {stage} {escape(event['summary'])} [dim]{escape(event['actor'])}"
            )

    def summary(self, summary: Summary) -> None:
        """The figures at the end."""
        table = Table(title="What was measured", show_header=False, border_style="dim")
        ratio = summary.time_to_contain_ms / summary.durable_floor_ms
        table.add_row(
            "time to contain", f"[bold]{summary.time_to_contain_ms:.1f} ms[/] (webhook sent -> first packet blocked)"
        )
        table.add_row(
            "durable floor", f"{summary.durable_floor_ms:.1f} ms (one empty durable order); ratio {ratio:.2f}"
        )
        table.add_row("cut, seen by packets", _marks(summary.cut.model_dump()))
        table.add_row("proof, seen by peers", summary.proof)
        table.add_row("lifeline / bystanders", f"{summary.lifeline} / {summary.bystanders}")
        e = summary.evidence
        table.add_row("evidence", f"{e.verified} of {e.items} items verified")
        table.add_row("", f"{e.packets} packets, {e.packets_dropped} dropped, {e.ebpf_events} eBPF events")
        agree = f"{e.captures.agreeing} of {e.captures.captures} captures agree with their manifests (capinfos)"
        table.add_row("", f"{agree}, {e.captures.before_the_cut} packets of the intruder from before the cut")
        table.add_row("intruder", "ended" if summary.intruder_ended else "[red]alive")
        table.add_row("released / restored", f"{summary.released} / {summary.restored}")
        table.add_row("report", summary.report)
        self.console.print(table)


def _marks(cut: dict[str, str]) -> str:
    return ", ".join(f"{name} {'[green]' if result == 'cut' else '[red]'}{result}[/]" for name, result in cut.items())
