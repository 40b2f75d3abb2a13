"""Who talks to whom in one packet.

Owns the way from a packet to a conversation, by dpkt. Packets of one conversation begin alike: what dpkt found once is
remembered by those bytes, which makes a capture of a million packets a matter of seconds. Bounded.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import dpkt

MAX_REMEMBERED = 50_000
# How many bytes of a link's header stand before the network's: libpcap's link types.
_NULL, _ETHERNET, _RAW, _SLL, _IPV4, _IPV6, _SLL2 = 0, 1, 101, 113, 228, 229, 276
_OFFSETS = {_NULL: 4, _ETHERNET: 14, _RAW: 0, _SLL: 16, _IPV4: 0, _IPV6: 0, _SLL2: 20}
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_PROTOCOLS = {_TCP: "TCP", _UDP: "UDP", _ICMP: "ICMP", _ICMP6: "ICMPv6", 2: "IGMP", 47: "GRE", 50: "ESP", 132: "SCTP"}
_SERVICES = {
    22: "SSH", 25: "SMTP", 53: "DNS", 67: "DHCP", 80: "HTTP", 88: "Kerberos", 123: "NTP", 135: "RPC", 139: "NetBIOS",
    389: "LDAP", 443: "HTTPS", 445: "SMB", 636: "LDAPS", 1433: "SQL Server", 3306: "MySQL", 3389: "RDP",
    5432: "PostgreSQL", 5985: "WinRM", 6379: "Redis", 6443: "Kubernetes", 7233: "Temporal", 9200: "Elasticsearch",
}  # fmt: skip
_TCP_FLAGS = 13
_DNS = 53
_PLAIN_IPV4, _PLAIN_IPV6_BYTES = 0x45, 40


@dataclass(frozen=True)
class Seen:
    """What one packet says. `flags_at`: where the TCP flags stand in packets that begin like this one; 0: nowhere."""

    client: str
    server: str
    protocol: str
    service: str
    to_server: bool
    source: str
    flags_at: int = 0
    dns_at: int = 0

    @property
    def whole(self) -> bool:
        """Whether its ports were read."""
        return self.service != self.protocol


class Dissector:
    """Reads the beginnings of packets."""

    def __init__(self) -> None:
        self._remembered: dict[tuple[int, bytes], Seen] = {}

    def see(self, linktype: int, octets: bytes) -> Seen | None:
        """Who and what; None where it can't be read."""
        key = _beginning(linktype, octets)
        if key is None:
            return _dissect(linktype, octets)
        try:
            return self._remembered[linktype, key]
        except KeyError:
            found = _dissect(linktype, octets)
        # What one damaged packet says must not be believed of the whole ones that begin alike.
        if found is not None and found.whole and len(self._remembered) < MAX_REMEMBERED:
            self._remembered[linktype, key] = found
        return found


def dns_name(octets: bytes) -> str:
    """The name that a DNS query asks for; empty for anything else."""
    try:
        message = dpkt.dns.DNS(octets)
    except Exception:  # noqa: BLE001 - dpkt raises whatever its arithmetic on hostile bytes does
        return ""
    return str(message.qd[0].name) if message.qd and not message.qr else ""


def _beginning(linktype: int, octets: bytes) -> bytes | None:
    """The bytes that decide what `see` says, where the packet is of the common kind."""
    offset = _OFFSETS.get(linktype)
    if offset is None or len(octets) < offset + 44:
        return None
    if octets[offset] == _PLAIN_IPV4:
        # Type of link, fragment, protocol, addresses, ports.
        return (
            octets[:offset][-2:] + octets[offset + 6 : offset + 8] + octets[offset + 9 : offset + 10]
            + octets[offset + 12 : offset + 24] + octets[:2] * (linktype == _SLL2)
        )  # fmt: skip
    if octets[offset] >> 4 == 6 and octets[offset + 6] in (_TCP, _UDP):  # noqa: PLR2004 version 6
        return octets[:offset][-2:] + octets[offset + 6 : offset + 7] + octets[offset + 8 : offset + 44]
    return None


def _dissect(linktype: int, octets: bytes) -> Seen | None:
    try:
        network, offset = _network(linktype, octets)
        if isinstance(network, (dpkt.ip.IP, dpkt.ip6.IP6)):
            return _internet(network, offset)
        if isinstance(network, dpkt.arp.ARP):
            source, target = str(ip_address(network.spa)), str(ip_address(network.tpa))
            return Seen(source, target, "ARP", "ARP", to_server=True, source=source)
    except Exception:  # noqa: BLE001 - dpkt raises whatever its arithmetic on hostile bytes does
        return None
    name = type(network).__name__ if isinstance(network, dpkt.Packet) else "other"
    return Seen("", "", name, name, to_server=True, source="")


def _network(linktype: int, octets: bytes) -> tuple[Any, int]:
    """What the link carries, and at which byte it begins."""
    if linktype == _ETHERNET:
        frame = dpkt.ethernet.Ethernet(octets)
    elif linktype == _SLL:
        frame = dpkt.sll.SLL(octets)
    elif linktype == _SLL2:
        frame = dpkt.sll2.SLL2(octets)
    elif linktype in (_RAW, _IPV4, _IPV6, _NULL):
        offset = _OFFSETS[linktype]
        version = octets[offset] >> 4
        kind = dpkt.ip.IP if version == 4 else dpkt.ip6.IP6  # noqa: PLR2004 version 4
        return kind(octets[offset:]), offset
    else:
        return None, 0
    tags = len(getattr(frame, "vlan_tags", ()))  # IEEE 802.1Q: four bytes each
    return frame.data, _OFFSETS[linktype] + 4 * tags


def _internet(packet: Any, offset: int) -> Seen:
    source, target = str(ip_address(packet.src)), str(ip_address(packet.dst))
    number = packet.p if isinstance(packet, dpkt.ip.IP) else packet.nxt
    inside = packet.data
    if not isinstance(inside, (dpkt.tcp.TCP, dpkt.udp.UDP)):
        protocol = _PROTOCOLS.get(number, f"IP protocol {number}")
        return Seen(source, target, protocol, protocol, to_server=True, source=source)
    protocol = "TCP" if isinstance(inside, dpkt.tcp.TCP) else "UDP"
    to_server = inside.dport <= inside.sport
    port = min(inside.dport, inside.sport)
    service = f"{protocol} {port}" + (f" {_SERVICES[port]}" if port in _SERVICES else "")
    ends = (source, target) if to_server else (target, source)
    start = offset + (packet.hl * 4 if isinstance(packet, dpkt.ip.IP) else _PLAIN_IPV6_BYTES)
    return Seen(
        *ends,
        protocol,
        service,
        to_server=to_server,
        source=source,
        flags_at=start + _TCP_FLAGS if protocol == "TCP" else 0,
        dns_at=start + 8 if protocol == "UDP" and inside.dport == _DNS else 0,
    )
