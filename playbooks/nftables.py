"""Small builders for nftables JSON (libnftables-json(5)).

Owns the spelling of the few objects that isolation needs. Values are JSON, so nothing an alert says can
become nft syntax. Never runs nft.

    rule("inet", "t", "output", [match(meta("oif"), "lo"), accept()])
"""

from typing import Any

NftCommand = dict[str, Any]
Expr = dict[str, Any]


def table(family: str, name: str) -> NftCommand:
    """A table object."""
    return {"table": {"family": family, "name": name}}


def timeout_set(family: str, table_name: str, name: str, kind: str, timeouts: dict[str, int]) -> NftCommand:
    """A set whose elements the kernel removes by itself after their timeout in seconds."""
    elements = [{"elem": {"val": key, "timeout": seconds}} for key, seconds in timeouts.items()]
    body = {"family": family, "table": table_name, "name": name, "type": kind, "flags": ["timeout"], "elem": elements}
    return {"add": {"set": body}}


def base_chain(family: str, table_name: str, name: str, *, hook: str, priority: int, device: str = "") -> NftCommand:
    """A chain on a hook with policy accept: our last rule drops, so that a dead-man can let go."""
    body: dict[str, Any] = {"family": family, "table": table_name, "name": name, "type": "filter", "hook": hook}
    body |= {"prio": priority, "policy": "accept"} | ({"dev": device} if device else {})
    return {"add": {"chain": body}}


def rule(family: str, table_name: str, chain: str, expr: list[Expr]) -> NftCommand:
    """One rule appended to a chain."""
    return {"add": {"rule": {"family": family, "table": table_name, "chain": chain, "expr": expr}}}


def match(left: Expr, right: object, *, op: str = "==") -> Expr:
    """A comparison; `right` may name a set as `@name`."""
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str) -> Expr:
    """Packet metadata such as `oif`, `nfproto`, `protocol`."""
    return {"meta": {"key": key}}


def payload(protocol: str, field: str) -> Expr:
    """A header field such as `ip daddr` or `tcp dport`."""
    return {"payload": {"protocol": protocol, "field": field}}


def log(group: int | None, prefix: str) -> Expr:
    """Hand a copy to NFLOG."""
    return {"log": {"group": group, "prefix": prefix}}


def accept() -> Expr:
    """Verdict accept."""
    return {"accept": None}


def drop() -> Expr:
    """Verdict drop: silent, so that a scanner learns nothing."""
    return {"drop": None}
