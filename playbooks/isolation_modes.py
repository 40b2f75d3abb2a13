"""What an isolation cuts of a host: everything, or what its mode names. Pure.

Owns the modes and the one predicate by which rules, ended sessions and proofs agree. The rules of a mode are in
`playbooks.mode_rules`.

    mode = BlockPeer(peers=(ip_network("10.77.0.12/32"),))
    cuts(mode, Session(local, 41000, remote, 8080, "tcp", opened="out"))   # -> whether the mode cuts this session
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork

from playbooks.canonical import digest
from segmentation.workloads import Frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Protocol = Literal["tcp", "udp"]
Port = Annotated[int, Field(ge=1, le=65535)]
Direction = Literal["in", "out", "both"]


class Service(Frozen):
    """A port: `in` on this host, `out` on its peers. Ends of a session have it, whoever opened the session."""

    port: Port
    protocol: Protocol = "tcp"
    direction: Direction = "both"

    def has(self, session: "Session") -> bool:
        """Whether the session is of this service."""
        ports = {"in": {session.local_port}, "out": {session.remote_port}}
        wanted = ports.get(self.direction, {session.local_port, session.remote_port})
        return session.protocol == self.protocol and self.port in wanted


class Reach(Frozen):
    """Peers that stay reachable: with everything, or with one service."""

    peers: IPvAnyNetwork
    service: Service | None = None

    def has(self, session: "Session") -> bool:
        """Whether the session may go on."""
        return _in(session.remote, (self.peers,)) and (self.service is None or self.service.has(session))


class IsolateAll(Frozen):
    """Everything but the lifeline."""

    kind: Literal["isolate-all"] = "isolate-all"


class Isolate(Frozen):
    """Everything but the lifeline and an allow-list."""

    kind: Literal["isolate"] = "isolate"
    allow: tuple[Reach, ...] = Field(min_length=1, max_length=64)


class BlockPeer(Frozen):
    """Everything with these peers."""

    kind: Literal["block-peer"] = "block-peer"
    peers: tuple[IPvAnyNetwork, ...] = Field(min_length=1, max_length=256)


class BlockAlertedPeer(Frozen):
    """Everything with what the alert says was reached for; isolate-all where it says nothing of use."""

    kind: Literal["block-alerted-peer"] = "block-alerted-peer"


class BlockPort(Frozen):
    """Every session that has one of these services."""

    kind: Literal["block-port"] = "block-port"
    services: tuple[Service, ...] = Field(min_length=1, max_length=64)


class EgressOnly(Frozen):
    """What this host opens; what others open towards it goes on."""

    kind: Literal["egress-only"] = "egress-only"


Mode = Annotated[IsolateAll | Isolate | BlockPeer | BlockPort | EgressOnly, Field(discriminator="kind")]
ModeSpec = Annotated[
    IsolateAll | Isolate | BlockPeer | BlockAlertedPeer | BlockPort | EgressOnly, Field(discriminator="kind")
]
ISOLATE_ALL = IsolateAll()


@dataclass(frozen=True)
class Session:
    """The ends of a session as one host sees it; of a forwarded one `local` is either end."""

    local: Address
    local_port: int
    remote: Address
    remote_port: int
    protocol: str
    opened: Literal["in", "out"]


def cuts(mode: Mode, session: Session) -> bool:
    """Whether the mode cuts the session; what stays on the host and the lifeline are the caller's to leave out."""
    match mode:
        case Isolate():
            return not any(reach.has(session) for reach in mode.allow)
        case BlockPeer():
            return _in(session.remote, mode.peers)
        case BlockPort():
            return any(service.has(session) for service in mode.services)
        case EgressOnly():
            return session.opened == "out"
        case _:
            return True


def cuts_forwarded(mode: Mode, views: tuple[Session, Session]) -> bool:
    """Whether a session through the host is cut: a blocked end is enough, and so is an allowed one."""
    verdicts = [cuts(mode, view) for view in views]
    return all(verdicts) if isinstance(mode, Isolate) else any(verdicts)


def silences(mode: Mode, remote: Address) -> bool:
    """Whether nothing at all may pass between the host and this address."""
    match mode:
        case Isolate():
            return not any(_in(remote, (reach.peers,)) for reach in mode.allow)
        case BlockPeer():
            return _in(remote, mode.peers)
        case _:
            return isinstance(mode, IsolateAll)


def tag(mode: Mode) -> str:
    """Tells chains of different modes apart; empty for isolate-all."""
    return "" if isinstance(mode, IsolateAll) else "_" + digest(mode).removeprefix("sha256:")[:12]


def for_alert(spec: ModeSpec, destination: tuple[Address, ...], own: tuple[Address, ...]) -> Mode:
    """The mode with every address of the alert's destination; a host can't be kept from itself, and is isolated."""
    if not isinstance(spec, BlockAlertedPeer):
        return spec
    peers = tuple(_single(address) for address in destination if address not in own)
    return BlockPeer(peers=peers) if peers else ISOLATE_ALL


def in_words(mode: Mode) -> tuple[str, ...]:
    """What the mode cuts, for the people who decide; empty for isolate-all, whose words are its planner's."""
    kept = "everything else stays, and so do raw frames that no rule of it names"
    match mode:
        case Isolate():
            return (f"keep what is allowed: {', '.join(_reach(reach) for reach in mode.allow)}",)
        case BlockPeer():
            return (f"drop all traffic with {', '.join(str(peer) for peer in mode.peers)}, established too", kept)
        case BlockPort():
            return (f"drop {', '.join(_service(service) for service in mode.services)}, established too", kept)
        case EgressOnly():
            return (
                "drop what the host opens, established too; what others open towards it stays",
                "drop forwarded traffic, except what came to an address of this host",
                "raw frames are not cut: who opened a session is not known there",
            )
        case _:
            return ()


def _in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _single(address: Address) -> Network:
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


def _reach(reach: Reach) -> str:
    return f"{reach.peers}" + (f" {_service(reach.service)}" if reach.service else "")


def _service(service: Service) -> str:
    where = {"in": " on this host", "out": " on its peers", "both": ""}[service.direction]
    return f"{service.port}/{service.protocol}{where}"
