"""Bridges, veth pairs and addresses of the lab, by netlink.

Owns the wiring inside the lab's namespaces. Never touches the machine's own network: every link is created
inside `<lab>-net` and its other end inside a host.

    wire("fb")   # namespaces must exist and be empty
"""

from pathlib import Path
from typing import Any

from pyroute2 import NetNS

from lab.entering import within
from lab.topology import (
    DATA_BRIDGE,
    DATA_INTERFACE,
    GATEWAY_IPV4,
    GATEWAY_IPV6,
    HOSTS,
    IPV4_PREFIX,
    IPV6_PREFIX,
    MGMT_BRIDGE,
    MGMT_INTERFACE,
    HostSpec,
    namespace_of,
)

_LOOPBACK = 1
# Without duplicate address detection an address can be used at once, not two seconds later (ip-address(8)).
_IFA_F_NODAD = 0x02
_ADDR_GEN_MODE_NONE = "1"
_IPV6_CONF = Path("/proc/sys/net/ipv6/conf")


def wire(lab: str) -> None:
    """Connect every host to the data and the management bridge."""
    _quiet_ipv6(lab)
    with NetNS(namespace_of(lab, "net")) as switch:
        data, mgmt = (_add_bridge(switch, name) for name in (DATA_BRIDGE, MGMT_BRIDGE))
        for host in HOSTS:
            _add_port(switch, lab, host, DATA_INTERFACE, data)
            port = _add_port(switch, lab, host, MGMT_INTERFACE, mgmt)
            # Management leads to the gateway only: no host reaches another one through it.
            switch.brport("set", index=port, isolated=1)
        _add_address(switch, mgmt, GATEWAY_IPV4, GATEWAY_IPV6)
        switch.link("set", index=_LOOPBACK, state="up")
    for host in HOSTS:
        _address_host(lab, host)


def _quiet_ipv6(lab: str) -> None:
    """No router solicitations, no link-local addresses: they would only be noise among the denials."""
    settings = {"accept_ra": "0", "addr_gen_mode": _ADDR_GEN_MODE_NONE}

    def write() -> None:
        # /proc/sys/net shows the namespace of the thread that opens it; later interfaces inherit `default`.
        for key, value in settings.items():
            (_IPV6_CONF / "default" / key).write_text(value, encoding="ascii")

    for part in ("net", *(host.name for host in HOSTS)):
        within(namespace_of(lab, part), write)


def _add_bridge(switch: Any, name: str) -> int:
    # Snooping without a querier loses neighbour discovery's multicast after a while: flood instead.
    switch.link("add", ifname=name, kind="bridge", br_mcast_snooping=0)
    index = _index(switch, name)
    switch.link("set", index=index, state="up")
    return index


def _add_port(switch: Any, lab: str, host: HostSpec, interface: str, bridge: int) -> int:
    name = f"{host.name}.{interface}"
    peer = {
        "ifname": interface,
        "address": _mac(host, interface),
        "net_ns_fd": namespace_of(lab, host.name),
    }
    switch.link("add", ifname=name, kind="veth", peer=peer)
    index = _index(switch, name)
    switch.link("set", index=index, master=bridge, state="up")
    return index


def _address_host(lab: str, host: HostSpec) -> None:
    with NetNS(namespace_of(lab, host.name)) as inside:
        inside.link("set", index=_LOOPBACK, state="up")
        _add_address(inside, _index(inside, DATA_INTERFACE), host.ipv4, host.ipv6)
        _add_address(inside, _index(inside, MGMT_INTERFACE), host.mgmt_ipv4, host.mgmt_ipv6)


def _add_address(inside: Any, index: int, ipv4: str, ipv6: str) -> None:
    inside.addr("add", index=index, address=ipv4, prefixlen=IPV4_PREFIX)
    inside.addr("add", index=index, address=ipv6, prefixlen=IPV6_PREFIX, flags=_IFA_F_NODAD)
    inside.link("set", index=index, state="up")


def _index(inside: Any, name: str) -> int:
    return int(inside.link_lookup(ifname=name)[0])


def _mac(host: HostSpec, interface: str) -> str:
    """Locally administered and the same in every run, so that evidence of two runs can be compared."""
    network = 0x77 if interface == DATA_INTERFACE else 0x78
    return f"02:fb:00:{network:02x}:00:{host.number:02x}"
