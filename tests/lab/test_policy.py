import json
import sys
from typing import Any

import pytest

from lab import denials
from lab.host import LabHost
from lab.network import Lab
from lab.topology import EDGES, HOSTS_BY_NAME
from lab.waiting import wait_until
from tests.lab.reaching import Destination, reach

pytestmark = pytest.mark.lab
PORTS = (22, 5432, 8000, 8080, 9000)


def _addresses(host: LabHost) -> tuple[str, str]:
    return host.ipv4, host.ipv6


@pytest.mark.parametrize("source", sorted(HOSTS_BY_NAME))
def test_a_host_reaches_exactly_what_the_allow_list_says_on_ipv4_and_ipv6(lab: Lab, source: str) -> None:
    others = [host for name, host in lab.hosts.items() if name != source]
    allowed = {(edge.destination, edge.port) for edge in EDGES if edge.source == source and edge.protocol == "tcp"}
    expected = {
        (address, port): "answered" if (host.name, port) in allowed else "silent"
        for host in others
        for address in _addresses(host)
        for port in PORTS
    }
    assert reach(lab[source], list(expected)) == expected


def test_the_management_network_leads_from_no_host_to_another(lab: Lab) -> None:
    lab["app"].run(["nft", "insert", "rule", "inet", "segmentation", "input", "iifname", "mgmt0", "accept"])
    try:
        destinations = [(lab["app"].mgmt_ipv4, 22), (lab["app"].mgmt_ipv6, 22)]
        assert set(reach(lab["web"], destinations).values()) == {"silent"}
    finally:
        _delete_first_rule(lab["app"])


def _delete_first_rule(host: LabHost) -> None:
    chain = json.loads(host.run(["nft", "-j", "list", "chain", "inet", "segmentation", "input"]).stdout)
    handle = next(item["rule"]["handle"] for item in chain["nftables"] if "rule" in item)
    host.run(["nft", "delete", "rule", "inet", "segmentation", "input", "handle", str(handle)])


def test_what_web_tries_at_db_is_denied_in_dbs_json_for_ipv4_and_ipv6(lab: Lab) -> None:
    tries: list[Destination] = [(lab["db"].ipv4, 5432), (lab["db"].ipv6, 5432)]
    reach(lab["web"], tries)
    wait_until(lambda: {_source(line) for line in _denied_at_db(lab)} >= set(_addresses(lab["web"])), 3, "denials")
    latest = {line["src_ip"]: line for line in _denied_at_db(lab)}
    for source, destination in zip(_addresses(lab["web"]), _addresses(lab["db"]), strict=True):
        line = latest[source]
        assert (line["dest_ip"], line["dest_port"], line["ip.protocol"]) == (destination, 5432, 6)
        assert (line["oob.prefix"], line["oob.in"], line["dvc"]) == ("deny ", "eth0", "db")
        assert line["src_port"] > 1024
        assert line["oob.time.sec"] > 0


def _source(line: dict[str, Any]) -> str:
    return str(line["src_ip"])


def _denied(host: LabHost) -> list[dict[str, Any]]:
    path = denials.file_of(host)
    text = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _denied_at_db(lab: Lab) -> list[dict[str, Any]]:
    own = _addresses(lab["web"])
    return [line for line in _denied(lab["db"]) if line.get("dest_port") == 5432 and _source(line) in own]


def test_the_upkeep_of_the_networks_is_no_denial(lab: Lab) -> None:
    # A neighbour that was forgotten is discovered again; a multicast group that is joined is announced.
    for host in lab.hosts.values():
        host.run(["ip", "neigh", "flush", "dev", "eth0"])
        host.run(["ip", "address", "add", f"fd77::aa{host.ipv4[-2:]}/64", "dev", "eth0", "nodad"])
        host.run(["ip", "address", "del", f"fd77::aa{host.ipv4[-2:]}/64", "dev", "eth0"])
    reach(lab["web"], [(lab["db"].ipv4, 22), (lab["db"].ipv6, 22)])
    wait_until(lambda: any(line.get("dest_port") == 22 for line in _denied(lab["db"])), 3, "a denial")
    protocols = {line["ip.protocol"] for host in lab.hosts.values() for line in _denied(host)}
    assert protocols == {6}


def test_a_service_echoes_lines_and_answers_http(lab: Lab) -> None:
    script = (
        "import socket,sys\n"
        "s = socket.create_connection((sys.argv[1], 8080), 2); f = s.makefile('rwb', buffering=0)\n"
        "f.write(b'hello\\n'); print(f.readline().decode().strip())\n"
        "f.write(b'GET /health HTTP/1.1\\r\\nHost: app\\r\\n\\r\\n'); print(f.readline().decode().strip())\n"
    )
    for address in _addresses(lab["app"]):
        said = lab["web"].run([sys.executable, "-c", script, address]).stdout.splitlines()
        assert said == ["app: hello", "HTTP/1.1 200 OK"]
