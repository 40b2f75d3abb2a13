"""What the command line prints: tables for people, JSON for programs.

Owns making text from elsewhere harmless: an alert's title may hold markup or escape sequences, and a
terminal obeys those.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(document: Any) -> None:
    """One JSON document, as it came."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or a sentence when there is nothing."""
    cells = [[plain(value) for value in row] for row in rows]
    if not cells:
        err.print(empty)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; empty values are left out."""
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, ""):
            table.add_row(Text(name, style="bold"), plain(value))
    out.print(table)


def say(text: str) -> None:
    """A sentence for people; standard output stays for results."""
    err.print(plain(text))


def shout(text: str) -> None:
    """A sentence that nobody overlooks."""
    err.print(plain(text), style="bold white on red")


def plain(value: object) -> Text:
    """Text that can't be taken for markup or for an instruction to the terminal."""
    text = "" if value is None else str(value)
    return Text("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))


def moment(value: str | None) -> str:
    """A time as a person reads it, in UTC."""
    return value[:19].replace("T", " ") if value else ""
