"""What the rules of a plan do to a packet: a small reader of nftables JSON, apart from the code that writes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from playbooks.isolation_modes import Address, Session

OPENING, ANSWERING = "original", "reply"


@dataclass(frozen=True)
class Packet:
    """One packet of a session that never touches loopback. `flags` are TCP's."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int
    protocol: str
    direction: str
    flags: frozenset[str] = frozenset({"ack"})
    original_destination: Address | None = None

    def field(self, left: dict[str, Any]) -> object:
        """What an expression reads; None where the packet has no such field."""
        kind, of = next(iter(left.items()))
        if kind == "&":
            return "syn" if self.protocol == "tcp" and self.flags & {"syn", "ack"} == {"syn"} else "other"
        if kind == "payload":
            return self._header(of["protocol"], of["field"])
        known = {"nfproto": f"ipv{self.source.version}", "iif": "eth0", "oif": "eth0", "protocol": "ip"}
        known |= {"direction": self.direction, "state": "established"}
        return self.original_destination if of["key"].endswith(" daddr") else known[of["key"]]

    def _header(self, protocol: str, name: str) -> object:
        family = "ip" if self.source.version == 4 else "ip6"
        fields = {(family, "saddr"): self.source, (family, "daddr"): self.destination}
        ports = {(self.protocol, "sport"): self.source_port, (self.protocol, "dport"): self.destination_port}
        return (fields | ports).get((protocol, name))


def verdict(rules: Iterable[list[dict[str, Any]]], packet: Packet) -> str:
    """`accept` or `drop`, as a base chain with policy accept would say."""
    for rule in rules:
        if not all(_matches(e["match"], packet) for e in rule if "match" in e):
            continue
        for expression in rule:
            if "accept" in expression or "drop" in expression:
                return next(iter(expression))
    return "accept"


def packets(session: Session, *, outwards: bool) -> list[Packet]:
    """An ordinary packet of the session, leaving or coming in."""
    near, far = (session.local, session.local_port), (session.remote, session.remote_port)
    source, destination = (near, far) if outwards else (far, near)
    direction = OPENING if (session.opened == "out") == outwards else ANSWERING
    return [Packet(*source, *destination, session.protocol, direction)]


def _matches(expression: dict[str, Any], packet: Packet) -> bool:
    found, right = packet.field(expression["left"]), expression["right"]
    if found is None:
        return False
    if expression["op"] == "!=":
        return not _equal(found, right)
    return _equal(found, right)


def _equal(found: object, right: object) -> bool:
    match right:
        case {"set": list(members)}:
            return any(_equal(found, member) for member in members)
        case list(members):
            return any(_equal(found, member) for member in members)
        case {"prefix": {"addr": address, "len": length}}:
            return found in ip_network(f"{address}/{length}")
        case str() if not isinstance(found, str):
            return found == ip_address(right)
    return found == right
