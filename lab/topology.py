"""Who is in the lab, where they live and who may talk to whom. Pure data.

Owns names, addresses, labels and the allow-list; everything else derives from it. Never touches the system.

    host = HOSTS_BY_NAME["db"]
    host.ipv4, host.labels["tier"]   # -> "10.77.0.13", "db"
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

DATA_BRIDGE = "east"
MGMT_BRIDGE = "mgmt"
DATA_INTERFACE = "eth0"
MGMT_INTERFACE = "mgmt0"
GATEWAY_IPV4 = "10.78.0.1"
GATEWAY_IPV6 = "fd78::1"
IPV4_PREFIX = 24
IPV6_PREFIX = 64

APP_PORT = 8080
DB_PORT = 5432
HEALTH_PORT = 8000
PROBE_PORT = 9000


@dataclass(frozen=True)
class HostSpec:
    """One host of the lab, before it is built."""

    name: str
    number: int
    labels: dict[str, str]

    @property
    def ipv4(self) -> str:
        """Address on the data network."""
        return f"10.77.0.{self.number}"

    @property
    def ipv6(self) -> str:
        """Address on the data network."""
        return f"fd77::{self.number}"

    @property
    def mgmt_ipv4(self) -> str:
        """Address on the management network."""
        return f"10.78.0.{self.number}"

    @property
    def mgmt_ipv6(self) -> str:
        """Address on the management network."""
        return f"fd78::{self.number}"


@dataclass(frozen=True)
class Edge:
    """One permission of the allow-list, for IPv4 and IPv6 alike."""

    source: str
    destination: str
    protocol: Literal["tcp", "udp"]
    port: int
    purpose: str


def _labels(tier: str, role: str, sensitivity: str) -> dict[str, str]:
    return {"app": "shop", "env": "prod", "tier": tier, "role": role, "sensitivity": sensitivity}


HOSTS = (
    HostSpec("web", 11, _labels("frontend", "web", "low")),
    HostSpec("app", 12, _labels("backend", "app", "medium")),
    HostSpec("db", 13, _labels("db", "database", "high")),
    HostSpec("batch", 14, _labels("batch", "batch", "medium")),
)
HOSTS_BY_NAME = {host.name: host for host in HOSTS}

EDGES = (
    Edge("web", "app", "tcp", APP_PORT, "shop requests"),
    Edge("app", "db", "tcp", DB_PORT, "queries"),
    Edge("batch", "app", "tcp", APP_PORT, "nightly jobs"),
    Edge("batch", "db", "tcp", DB_PORT, "nightly jobs"),
    Edge("app", "web", "tcp", HEALTH_PORT, "health checks"),
    Edge("db", "web", "tcp", HEALTH_PORT, "health checks"),
    Edge("batch", "web", "tcp", HEALTH_PORT, "health checks"),
    Edge("web", "app", "udp", PROBE_PORT, "prober"),
    Edge("web", "app", "tcp", PROBE_PORT, "prober"),
)


def namespace_of(lab: str, part: str) -> str:
    """Name of the network namespace of a host, or of `net`, which holds the bridges."""
    return f"{lab}-{part}"


def namespaces_of(lab: str) -> tuple[str, ...]:
    """Every namespace that a lab of this name owns."""
    return tuple(namespace_of(lab, part) for part in (*HOSTS_BY_NAME, "net"))


def machine_id_of(lab: str, host: str) -> str:
    """A machine-id(5) that is the same in every run, so that task queues keep their names."""
    return hashlib.sha256(f"{lab}/{host}".encode()).hexdigest()[:32]
