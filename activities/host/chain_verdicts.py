"""What a chain of others does to a packet of which a few facts are known. Pure.

Owns walking listed rules with three answers: yes, no, and "that depends on what is not known here". An accept of ours
can't overrule a drop of theirs, whichever comes first. Never guesses: what it does not understand may go either way.

    Chains(objects).outcomes(("inet", "filter", "output"), packet)     # -> {"accept"} or {"accept", "drop"} ...
"""

from collections import defaultdict
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address
Place = tuple[str, str, str]
Objects = list[dict[str, Any]]
# What is known of a packet, by how nft spells it: "ip daddr", "tcp dport", "meta l4proto", "ct state".
Packet = Mapping[str, object]
# Statements that may stop a rule before its verdict, by what is not known here.
_CONDITIONS = frozenset({"limit", "quota", "ct count", "xt", "meter", "socket", "osf"})
_NETWORKS, _TRANSPORTS = frozenset({"ip", "ip6"}), frozenset({"tcp", "udp", "icmp", "icmpv6", "sctp", "dccp"})
_ENDS = frozenset({"return", "end"})


class Chains:
    """The chains of a listed ruleset (libnftables-json(5))."""

    def __init__(self, objects: Objects) -> None:
        self.base: dict[Place, dict[str, Any]] = {}
        self._rules: dict[Place, list[Objects]] = defaultdict(list)
        self._sets: dict[tuple[str, str, str], list[Any]] = {}
        for kind, body in (next(iter(entry.items())) for entry in objects if entry):
            if kind == "chain" and "hook" in body:
                self.base[body["family"], body["table"], body["name"]] = body
            elif kind == "rule":
                self._rules[body["family"], body["table"], body["chain"]].append(body["expr"])
            elif kind == "set" and not {"dynamic", "timeout"} & set(body.get("flags", ())):
                self._sets[body["family"], body["table"], body["name"]] = body.get("elem", [])

    def outcomes(self, place: Place, packet: Packet) -> frozenset[str]:
        """Whether a base chain accepts the packet, drops it, or may do either."""
        found = self._walk(place, packet)
        policy = {self.base[place].get("policy", "accept")} if found & _ENDS else set()
        return frozenset((found - _ENDS) | policy)

    def _walk(self, place: Place, packet: Packet) -> set[str]:
        found: set[str] = set()
        for expressions in self._rules[place]:
            verdicts = self._rule(place, expressions, packet)
            found |= verdicts - {"next"}
            if "next" not in verdicts:
                return found
        return found | {"end"}

    def _rule(self, place: Place, expressions: Objects, packet: Packet) -> set[str]:
        sure = True
        for kind, body in (next(iter(expression.items())) for expression in expressions):
            if kind == "match":
                answer = self._matches(place, body, packet)
                if answer is False:
                    return {"next"}
                sure = sure and answer is not None
            elif kind in _CONDITIONS:
                sure = False
            else:
                verdicts = self._verdicts(place, kind, body, packet)
                if verdicts:
                    return verdicts if sure else verdicts | {"next"}
        return {"next"}

    def _verdicts(self, place: Place, kind: str, body: Any, packet: Packet) -> set[str]:
        """What a statement decides; empty for one that decides nothing."""
        if kind in ("jump", "goto"):
            found = self._walk((place[0], place[1], body["target"]), packet)
            after = {"next"} if kind == "jump" else {"end"}
            return (found - _ENDS) | after if found & _ENDS else found
        if kind in ("vmap", "queue"):
            return {"accept", "drop", "next"}
        return {"accept": {"accept"}, "drop": {"drop"}, "reject": {"drop"}, "return": {"return"}}.get(kind, set())

    def _matches(self, place: Place, body: Mapping[str, Any], packet: Packet) -> bool | None:
        key, operator, right = _key(body["left"]), body["op"], body["right"]
        if _excluded(key, packet):
            return False
        if key not in packet or operator not in ("==", "!=", "in"):
            return None
        if isinstance(right, str) and right.startswith("@"):
            elements = self._sets.get((place[0], place[1], right[1:]))
            answer = None if elements is None else _is_one_of(packet[key], elements)
        else:
            answer = _is_one_of(packet[key], [right])
        return answer if operator != "!=" or answer is None else not answer


def _key(left: Any) -> str:
    """How nft spells what a match looks at; empty for what is no plain header field or metadata."""
    kind, body = next(iter(left.items())) if isinstance(left, dict) and left else ("", {})
    if kind == "payload" and "field" in body:
        return f"{body['protocol']} {body['field']}"
    if kind in ("meta", "ct") and set(body) == {"key"}:
        return f"{kind} {body['key']}"
    return ""


def _excluded(key: str, packet: Packet) -> bool:
    """A header that the packet does not have matches nothing, not even `!=`."""
    protocol = key.partition(" ")[0]
    wrong_network = protocol in _NETWORKS and protocol != packet["network"]
    return wrong_network or (protocol in _TRANSPORTS and protocol != packet["meta l4proto"])


def _is_one_of(value: object, wanted: list[Any]) -> bool | None:
    answers = [_is(value, one) for one in wanted]
    if True in answers:
        return True
    return None if None in answers else False


def _is(value: object, wanted: Any) -> bool | None:
    if isinstance(wanted, list):
        return _is_one_of(value, wanted)
    if not isinstance(wanted, dict):
        return _equals(value, wanted)
    kind, body = next(iter(wanted.items()))
    if kind in ("set", "elem"):
        return _is(value, body if kind == "set" else body["val"])
    if kind == "prefix" and isinstance(value, IPv4Address | IPv6Address):
        return value in ip_network(f"{body['addr']}/{body['len']}")
    if kind == "range":
        return _within(value, *body)
    return None


def _within(value: object, low: Any, high: Any) -> bool | None:
    if isinstance(value, int):
        return bool(low <= value <= high) if isinstance(low, int) and isinstance(high, int) else None
    if isinstance(value, IPv4Address | IPv6Address):
        return int(ip_address(low)) <= int(value) <= int(ip_address(high))
    return None


def _equals(value: object, wanted: Any) -> bool | None:
    if isinstance(value, IPv4Address | IPv6Address):
        return bool(str(value) == wanted)
    if isinstance(value, frozenset):  # several values that it is not, of which no more is known
        return False if wanted in value else None
    return bool(value == wanted)
