"""What a listed ruleset says: its digest, its outline, our tables in it, and what differs between two.

Owns the normal form that lets a ruleset before and one after be compared: without handles, counters and
countdowns, and without our own tables. Pure; listing is `nft.list_ruleset`.

    before = Ruleset(nft.list_ruleset())
    before.digest                      # equal whenever the rules of others are equal
    drift(before.outline, after.outline)   # -> ("chain inet filter input differs",)
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from playbooks.host_isolation import BASE_CHAIN, MAX_TABLES, HostChange
from playbooks.nftables import NftCommand
from segmentation.bounds import cut

OUR_PREFIX = "firebreak_"
# The outline travels in workflow history: on hosts with thousands of chains it keeps tables only.
MAX_OUTLINE = 300
_CONTENTS = "contents of table "
# A name in nftables has 255 characters at most (linux/netfilter/nf_tables.h), a place two of them.
_PLACE = 600
_MOVING = frozenset({"handle", "used", "used_unit", "expires"})
_COUNTED = frozenset({"packets", "bytes"})

Place = tuple[str, str, str]


class Ruleset:
    """A ruleset at one moment."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._entries = [next(iter(entry.items())) for entry in objects if entry]

    @cached_property
    def outline(self) -> dict[str, str]:
        """Digest of every table, chain, set and other object of others, named in words."""
        parts: dict[str, list[str]] = defaultdict(list)
        for kind, body in self._entries:
            if not _ours(kind, body):
                parts[_place(kind, body)].append(_text({kind: _still(body, kind)}))
        full = {cut(place, _PLACE): _short("\n".join(texts)) for place, texts in parts.items()}
        return full if len(full) <= MAX_OUTLINE else _by_table(full)

    @cached_property
    def digest(self) -> str:
        """Digest of everything that is not ours."""
        # Not the canonical JSON of documents: its library takes four times as long, and this is compared with
        # nothing but itself.
        return "sha256:" + hashlib.sha256(_text(self.outline).encode()).hexdigest()

    @property
    def base_chains(self) -> tuple[str, ...]:
        """`family table chain hook priority` of every chain on a hook."""
        chains = [body for kind, body in self._entries if kind == "chain" and "hook" in body]
        words = (f"{c['family']} {c['table']} {c['name']} {c['hook']} {c.get('prio', 0)}" for c in chains)
        # A name that nobody can take apart is not ours, and must not keep this host from being cut off.
        told = [chain for chain in words if BASE_CHAIN.match(chain)]
        if len(told) > MAX_TABLES:
            told.sort(key=lambda chain: not chain.split(" ")[1].startswith(OUR_PREFIX))
        return tuple(told[:MAX_TABLES])

    @property
    def our_tables(self) -> tuple[str, ...]:
        """Names of our tables that are loaded, whether or not they still hold anything."""
        return tuple(sorted({body["name"] for kind, body in self._entries if kind == "table" and _ours(kind, body)}))

    @property
    def tables_in_force(self) -> tuple[str, ...]:
        """Names of our tables that hold a host now: with their hooks, and armed if they have a dead-man."""
        hooked = {b["table"] for k, b in self._entries if k == "chain" and b["family"] == "inet" and _ours(k, b)}
        return tuple(sorted(table for table in hooked if not self.disarmed(table)))

    def disarmed(self, table: str) -> bool:
        """Whether the dead-man of our table has let go: it stands there and holds nothing."""
        sets = [b for k, b in self._entries if k == "set" and b["table"] == table and b["name"] == "armed"]
        return any(not body.get("elem") for body in sets)

    def holds(self, change: HostChange) -> bool:
        """Whether every chain of the change is loaded with all its rules, and its dead-man is armed."""
        loaded = _shape(self._entries, change.table)
        wanted = _shape([_added(command) for command in change.commands], change.table)
        # Equal, not at least: a rule that somebody added to ours may let everything through.
        return bool(wanted) and wanted == loaded and not self.disarmed(change.table)


def drift(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What somebody else changed between two outlines, one line for each table, chain or set."""
    if _is_by_table(before) or _is_by_table(after):
        before, after = _by_table(before), _by_table(after)
    lines = [f"{place} is gone" for place in before.keys() - after.keys()]
    lines += [f"{place} is new" for place in after.keys() - before.keys()]
    lines += [f"{place} differs" for place in before.keys() & after.keys() if before[place] != after[place]]
    return tuple(sorted(lines))


def _is_by_table(outline: Mapping[str, str]) -> bool:
    return any(place.startswith(_CONTENTS) for place in outline)


def _by_table(outline: Mapping[str, str]) -> dict[str, str]:
    if _is_by_table(outline):
        return dict(outline)
    tables: dict[str, list[str]] = defaultdict(list)
    for place in sorted(outline):
        _, family, table = place.split(" ")[:3]
        tables[f"{_CONTENTS}{family} {table}"].append(f"{place} {outline[place]}")
    digests = {table: _short("\n".join(lines)) for table, lines in tables.items()}
    return digests if len(digests) <= MAX_TABLES else {f"{_CONTENTS}any family": _short(_text(digests))}


def _ours(kind: str, body: dict[str, Any]) -> bool:
    return str(body.get("name" if kind == "table" else "table", "")).startswith(OUR_PREFIX)


def _place(kind: str, body: dict[str, Any]) -> str:
    """Rules belong to their chain, elements to their set; the rest stands for itself."""
    if kind == "table":
        return f"table {body['family']} {body['name']}"
    owner = {"rule": "chain", "element": "set"}.get(kind, kind).replace(" ", "-")
    name = body.get("chain") if kind == "rule" else body.get("name", "")
    return f"{owner} {body.get('family', '')} {body.get('table', '')} {name}"


def _still(value: Any, key: str = "") -> Any:
    """The value without what moves by itself."""
    if isinstance(value, list):
        return [_still(item) for item in value]
    if not isinstance(value, dict):
        return value
    moving = _MOVING | _COUNTED if key == "counter" else _MOVING
    kept = {name: _still(item, name) for name, item in value.items() if name not in moving}
    if key in ("set", "map") and isinstance(value.get("elem"), list):
        kept["elem"] = _lasting(value)
    return kept


def _lasting(body: dict[str, Any]) -> list[Any]:
    """Elements that people put there to stay: packets add others, and the kernel's clock removes them."""
    if "dynamic" in body.get("flags", ()):
        return []
    lasting = (e for e in body["elem"] if not (isinstance(e, dict) and "expires" in e.get("elem", {})))
    # A hash set lists its elements in an order of its own.
    return sorted((_still(element) for element in lasting), key=_text)


def _added(command: NftCommand) -> tuple[str, dict[str, Any]]:
    return next(iter(command["add"].items())) if "add" in command else ("", {})


def _shape(entries: Iterable[tuple[str, dict[str, Any]]], table: str) -> Counter[Place]:
    """Our chains, and how many rules each has."""
    listed = [(kind, body) for kind, body in entries if body.get("table") == table]
    chains = [("chain", body["family"], body["name"]) for kind, body in listed if kind == "chain"]
    return Counter([*chains, *(("rule", b["family"], b["chain"]) for kind, b in listed if kind == "rule")])


def _text(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
