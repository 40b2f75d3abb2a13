"""Denials and connections of a host as ECS documents.

Owns the reading of a line of ulogd's JSON and of our kernel events into field names of the Elastic Common
Schema. Pure.

    denial(b'{"oob.time.sec": 1795338613, "src_ip": "10.77.0.11", ...}', host)   # -> {"event": {...}, ...}
"""

import json
import socket
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Any

from playbooks.isolation_rules import LOG_PREFIX

Document = dict[str, Any]
_TRANSPORTS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_ICMP: "icmp",
               socket.IPPROTO_ICMPV6: "ipv6-icmp", socket.IPPROTO_SCTP: "sctp"}  # fmt: skip
# A process that opens sockets and never ends them must not fill our memory.
_MAX_OWNERS = 4096


@dataclass(frozen=True)
class FlowHost:
    """Who says so. `labels` are the workload's, so that flows can be grouped without asking anybody."""

    host_id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self, at: str, action: str, kind: str, outcome: str) -> Document:
        """What every flow of this host has."""
        return {
            "@timestamp": at,
            "event": {
                "kind": "event",
                "category": ["network"],
                "type": ["connection", kind],
                "action": action,
                "outcome": outcome,
                "dataset": "firebreak.flows",
            },
            "host": {"id": self.host_id, "name": self.name},
            "labels": dict(self.labels),
        }


def denial(line: bytes, host: FlowHost) -> Document | None:
    """One packet that a rule logged and dropped; None for a line that is none."""
    try:
        said = json.loads(line)
        seconds = said["oob.time.sec"] + said.get("oob.time.usec", 0) / 1e6
        at = datetime.fromtimestamp(seconds, UTC)
        protocol = int(said["ip.protocol"] if "ip.protocol" in said else said.get("ip6.nexthdr", 0))
        flow = _flow(said["src_ip"], said.get("src_port"), said["dest_ip"], said.get("dest_port"), protocol)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    inward = bool(said.get("oob.in"))
    prefix = str(said.get("oob.prefix", "")).strip()
    # What an isolation drops is no breach of policy: whoever still talks to an isolated host would be accused
    # next.
    action = "contained" if prefix.startswith(LOG_PREFIX.strip()) else "denied"
    document = host.document(_iso(at), action, "denied", "failure")
    document |= flow | {"rule": {"name": prefix}}
    document["network"] |= {"direction": "ingress" if inward else "egress", "packets": 1}
    return document


class Connections:
    """Kernel events of connections as documents: who tried, and whether it came through. One thread's."""

    def __init__(self, host: FlowHost) -> None:
        self._host = host
        self._owners: OrderedDict[str, Document] = OrderedDict()

    def read(self, event: Document) -> Document | None:
        """A connection that was established or failed; None for any other event."""
        if event.get("event") != "connection":
            return None
        step = (event["was"], event["state"])
        if event["state"] == "SYN_SENT":
            self._remember(event)
        if step == ("SYN_SENT", "ESTABLISHED"):
            return self._document(event, "egress", "start", "success")
        if step == ("SYN_SENT", "CLOSE"):
            return self._document(event, "egress", "error", "failure")
        if step == ("SYN_RECV", "ESTABLISHED"):
            return self._document(event, "ingress", "start", "success")
        return None

    def _remember(self, event: Document) -> None:
        """Only the first step happens in the context of the owner; later ones have the same socket."""
        self._owners[event["socket"]] = {"pid": event["pid"], "name": event["process"]}
        if len(self._owners) > _MAX_OWNERS:
            self._owners.popitem(last=False)

    def _document(self, event: Document, direction: str, kind: str, outcome: str) -> Document:
        local = (event["source"], event["source_port"])
        remote = (event["destination"], event["destination_port"])
        ends = (*local, *remote) if direction == "egress" else (*remote, *local)
        document = self._host.document(event["at"], "connection", kind, outcome)
        document |= _flow(*ends, event["protocol"])
        document["network"] |= {"direction": direction}
        owner = self._owners.pop(event["socket"], None) if direction == "egress" else None
        return document | ({"process": owner} if owner else {})


def flow_key(document: Document) -> tuple[Any, ...]:
    """What two documents have in common that say the same of two packets."""
    source, destination = document["source"], document["destination"]
    event = document["event"]
    transport = document["network"]["transport"]
    return (
        event["action"],
        event["outcome"],
        source["ip"],
        destination["ip"],
        destination.get("port"),
        transport,
    )


def _flow(source: str, sport: int | None, destination: str, dport: int | None, protocol: int) -> Document:
    first, second = ip_address(source), ip_address(destination)
    return {
        "source": {"ip": str(first)} | ({"port": int(sport)} if sport is not None else {}),
        "destination": {"ip": str(second)} | ({"port": int(dport)} if dport is not None else {}),
        "network": {
            "type": "ipv6" if isinstance(first, IPv6Address) else "ipv4",
            "transport": _TRANSPORTS.get(protocol, str(protocol)),
            "iana_number": str(protocol),
        },
    }


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
