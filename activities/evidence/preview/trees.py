"""JSON documents: as a table where they are a list of entries, as a tree otherwise.

Owns parsing within bounds (no number is computed with, however many digits it has) and the walk, which is as long as
the shown part and never recurses.
"""

import json
from collections.abc import Iterator
from typing import Any

from activities.evidence.preview.documents import MAX_NODES, Node, PreviewRequest, TablePreview, TreePreview
from activities.evidence.preview.inert import LONG_LIMIT, TEXT_LIMIT, shown
from activities.evidence.preview.rows import Rows

MAX_DEPTH = 60
MAX_COLUMNS = 24
_CELL_LIMIT = 400
_PATH_LIMIT = 200


class Number(str):
    """A number as the document spells it."""

    __slots__ = ()


def parse(octets: bytes) -> Any:
    """The document. Raises ValueError, or RecursionError where it is nested too deep."""
    return json.loads(octets, parse_int=Number, parse_float=Number, parse_constant=Number)


def preview_json(document: Any, request: PreviewRequest) -> TablePreview | TreePreview:
    """A table or a tree."""
    entries = document.get("entries") if isinstance(document, dict) else document
    if isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries):
        return _table(document if isinstance(document, dict) else {}, entries, request)
    return _tree(document, request)


def _table(document: dict[str, Any], entries: list[dict[str, Any]], request: PreviewRequest) -> TablePreview:
    columns = _columns(entries)
    rows: Rows[tuple[str, ...]] = Rows(request.q, request.page)
    for entry in entries:
        # Searched in everything, shown in what has a column.
        if rows.wants(json.dumps(entry, ensure_ascii=False) if request.q else ""):
            rows.kept.append(tuple(_cell(entry.get(column)) for column in columns))
    return TablePreview(
        facts=tuple((shown(key, 100), _cell(value)) for key, value in document.items() if key != "entries")[:40],
        columns=tuple(shown(column, 100) for column in columns),
        rows=tuple(rows.kept),
        paged=rows.paged(),
    )


def _columns(entries: list[dict[str, Any]]) -> list[str]:
    found: dict[str, None] = {}
    for entry in entries[:1_000]:
        for key in entry:
            if len(found) < MAX_COLUMNS:
                found.setdefault(key)
    return list(found)


def _cell(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return shown(" ".join(value), _CELL_LIMIT)
    return _scalar(value, _CELL_LIMIT)


def _scalar(value: Any, limit: int = TEXT_LIMIT) -> str:
    if isinstance(value, str):
        return shown(value, limit)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return shown(json.dumps(value, ensure_ascii=False), limit)


def _tree(document: Any, request: PreviewRequest) -> TreePreview:
    needle, nodes, total, matching = request.q.lower(), list[Node](), 0, 0
    for depth, path, value in _walk(document):
        total += 1
        inside = isinstance(value, (dict, list))
        if needle and (inside or needle not in f"{path} {value}".lower()):
            continue
        matching += 1
        if len(nodes) < MAX_NODES:
            label = path if needle else path.rpartition("\0")[2]
            nodes.append(_node(0 if needle else depth, label.strip("\0").replace("\0", " / "), value))
    return TreePreview(nodes=tuple(nodes), matching=matching, total=total)


def _node(depth: int, label: str, value: Any) -> Node:
    if isinstance(value, (dict, list)):
        if depth >= MAX_DEPTH:
            return Node(depth=depth, label=shown(label, _PATH_LIMIT), value="… nested deeper than is shown")
        return Node(depth=depth, label=shown(label, _PATH_LIMIT), value="", children=len(value))
    text = "null" if value is None else _scalar(value, LONG_LIMIT)
    return Node(depth=depth, label=shown(label, _PATH_LIMIT), value=text)


def _walk(document: Any) -> Iterator[tuple[int, str, Any]]:
    """Every value with its depth and its path, in the document's order; not below `MAX_DEPTH`."""
    waiting: list[Iterator[tuple[str, Any]]] = [iter([("", document)])]
    paths = [""]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            paths.pop()
            continue
        key, value = found
        path, depth = f"{paths[-1]}\0{key}"[:4_000], len(waiting) - 1
        yield depth, path, value
        if depth < MAX_DEPTH and isinstance(value, (dict, list)):
            waiting.append(iter(value.items()) if isinstance(value, dict) else _numbered(value))
            paths.append(path)


def _numbered(values: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((str(place), value) for place, value in enumerate(values))
