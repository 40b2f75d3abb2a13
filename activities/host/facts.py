"""What a host says of itself when it joins: addresses on which others reach it, ports it serves.

Owns reading them from the kernel. Never guesses a label.

    describe_host("4f2a...", "web", {"tier": "frontend"})
"""

import socket
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from pyroute2 import IPRoute

from segmentation.workloads import Workload

Address = IPv4Address | IPv6Address
# 127.0.0.1 and ::1 as the kernel prints them: 32-bit words in host order.
LOOPBACKS = {"0100007F", "00000000000000000000000001000000"}
TCP_LISTEN = "0A"  # include/net/tcp_states.h
MAX_PORTS = 64


def describe_host(host_id: str, name: str, labels: Mapping[str, str], control: str) -> Workload:
    """This host as a workload; the interface to `control`, the control plane's address, may be for management."""
    return Workload(
        workload_id=host_id,
        name=name,
        labels=dict(labels),
        addresses=tuple(sorted(service_addresses(control), key=lambda a: (a.version, int(a)))),
        tcp_ports=tuple(sorted(set(listening_ports()))[:MAX_PORTS]),
    )


def service_addresses(control: str) -> set[Address]:
    """Addresses that peers use: those of the interface to the control plane only where there are no others."""
    with IPRoute() as netlink:
        found = [(m["index"], ip_address(m.get_attr("IFA_ADDRESS"))) for m in netlink.get_addr()]
    ours = [(index, a) for index, a in found if not (a.is_loopback or a.is_link_local)]
    leaving_by = local_address(control)
    management = {index for index, address in ours if address == leaving_by}
    return {a for index, a in ours if index not in management} or {a for _, a in ours}


def local_address(control: str) -> Address | None:
    """The address that packets to `control` leave from; connecting a datagram socket sends nothing (connect(2))."""
    try:
        family, _, _, _, peer = socket.getaddrinfo(control, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)
            return ip_address(probe.getsockname()[0])
    except OSError:
        return None


def listening_ports() -> Iterator[int]:
    """TCP ports that accept from elsewhere than loopback (proc(5), /proc/net/tcp)."""
    for table in (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == TCP_LISTEN and address not in LOOPBACKS:
                yield int(port, 16)
