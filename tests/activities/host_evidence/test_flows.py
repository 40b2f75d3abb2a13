"""Shipping flows to a real SIEM: soon, all of them, and without ever standing in the way."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from osmem_server import OsmemServer

from activities.host.denial_tail import DenialTail
from activities.host.flow_documents import Connections, FlowHost, denial
from activities.host.flows import MAX_SINGLE, FlowShipper
from activities.siem.client import siem_client
from activities.siem.templates import FLOWS, install_templates

HOST = FlowHost("9f2c51d0a7b14c53", "db", {"app": "shop", "tier": "db"})
NOW = 1_795_338_613


@pytest.fixture
def denials(tmp_path: Path) -> Path:
    return tmp_path / "denials.jsonl"


@pytest.fixture
def ship(siem: Elasticsearch, denials: Path, tmp_path: Path) -> Iterator[Callable[..., FlowShipper]]:
    """Start a shipper; all are stopped in the end."""
    running: list[FlowShipper] = []

    def start(client: Elasticsearch = siem, **options: Any) -> FlowShipper:
        shipper = FlowShipper(client, DenialTail(denials, tmp_path / "offset"), HOST, **options)
        running.append(shipper)
        shipper.start()
        return shipper

    yield start
    for shipper in running:
        shipper.stop()


def line(number: int = 0, **more: Any) -> str:
    """What ulogd2 2.0.8 writes of one packet, without the fields that nobody reads."""
    said = {"timestamp": "2026-11-22T09:10:13.351101", "dvc": "db", "oob.prefix": "deny ", "oob.family": 2,
            "oob.time.sec": NOW, "oob.time.usec": number, "oob.in": "eth0", "oob.out": "", "ip.protocol": 6,
            "src_ip": "10.77.0.11", "src_port": 40_000 + number,
            "dest_ip": "10.77.0.13", "dest_port": 5432}  # fmt: skip
    return json.dumps(said | more) + "\n"


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(lines)


def count(siem: Elasticsearch, **term: Any) -> int:
    query = {"term": term} if term else {"match_all": {}}
    found = siem.search(index=FLOWS, query=query, size=0, track_total_hits=True, ignore_unavailable=True)
    return int(found["hits"]["total"]["value"])


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> float:
    """How long it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, "it did not come about in time"
        time.sleep(0.01)
    return time.monotonic() - begun


def test_denial_can_be_searched_within_a_second(
    siem: Elasticsearch, denials: Path, ship: Callable[..., FlowShipper]
) -> None:
    ship()
    append(denials, line())
    assert eventually(lambda: count(siem) == 1) < 1.0
    found = siem.search(index=FLOWS, query={"term": {"event.action": "denied"}})["hits"]["hits"][0]["_source"]
    assert found["@timestamp"] == "2026-11-22T09:10:13.000000+00:00"
    assert (found["source"], found["destination"]) == (
        {"ip": "10.77.0.11", "port": 40_000},
        {"ip": "10.77.0.13", "port": 5432},
    )
    assert (found["host"], found["labels"]) == ({"id": HOST.host_id, "name": "db"}, HOST.labels)
    assert found["network"]["transport"] == "tcp"
    assert found["event"]["outcome"] == "failure"


def test_siem_that_is_away_gets_everything_when_it_is_back(
    siem_server: OsmemServer, denials: Path, ship: Callable[..., FlowShipper]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with siem_client(f"http://127.0.0.1:{port}") as client:
        shipper = ship(client)
        append(denials, *(line(number, dest_port=number) for number in range(300)))
        eventually(lambda: len(shipper._buffer) == 300)
        with OsmemServer.start(japanese=False, addr=f"127.0.0.1:{port}") as late:
            install_templates(client)
            eventually(lambda: count(client) == 300, seconds=10)
            shipper.stop()
        assert late.process.stdout
        late.process.stdout.close()
    assert shipper.counts.dropped == 0


def test_buffer_is_bounded_and_says_what_it_dropped(denials: Path, ship: Callable[..., FlowShipper]) -> None:
    with siem_client("http://127.0.0.1:9") as client:
        shipper = ship(client, max_buffered=100)
        append(denials, *(line(number, dest_port=number) for number in range(250)))
        eventually(lambda: shipper.counts.dropped == 150)
        kept = [document["destination"]["port"] for _, document in shipper._buffer]
        shipper.stop()
    assert kept == list(range(150, 250)), "the oldest go first"


def test_restart_goes_on_where_it_was_and_nothing_is_there_twice(
    siem: Elasticsearch, denials: Path, ship: Callable[..., FlowShipper], tmp_path: Path
) -> None:
    append(denials, line(1, dest_port=1), line(2, dest_port=2))
    first = ship()
    eventually(lambda: count(siem) == 2)
    first.stop()
    append(denials, line(3, dest_port=3))
    second = ship()
    eventually(lambda: count(siem) == 3)
    second.stop()
    (tmp_path / "offset").unlink()  # as after a kill before the place was kept
    third = ship()
    eventually(lambda: third.counts.shipped == 3)
    third.stop()
    assert count(siem) == 3


def test_rotated_file_is_followed(siem: Elasticsearch, denials: Path, ship: Callable[..., FlowShipper]) -> None:
    shipper = ship()
    append(denials, line(1, dest_port=1))
    eventually(lambda: count(siem) == 1)
    denials.rename(denials.with_suffix(".1"))
    append(denials, line(2, dest_port=2))
    eventually(lambda: count(siem) == 2)
    denials.write_text("")
    eventually(lambda: shipper._tail._offset == 0)
    append(denials, line(3, dest_port=3))
    eventually(lambda: count(siem) == 3)


def test_half_a_line_waits_for_its_end(siem: Elasticsearch, denials: Path, ship: Callable[..., FlowShipper]) -> None:
    shipper = ship()
    whole = line()
    append(denials, whole[:50])
    append(denials, whole[50:])
    eventually(lambda: count(siem) == 1)
    assert shipper.counts.unreadable == 0


def test_flood_of_one_flow_becomes_few_documents_that_count_every_packet(
    siem: Elasticsearch, denials: Path, ship: Callable[..., FlowShipper]
) -> None:
    append(denials, *(line(number) for number in range(1000)), line(1, dest_port=22))
    shipper = ship()
    eventually(lambda: shipper.counts.shipped + shipper.counts.folded == 1001)
    shipper.stop()
    found = siem.search(index=FLOWS, size=100, query={"term": {"destination.port": 5432}})["hits"]["hits"]
    assert len(found) == MAX_SINGLE
    assert sum(hit["_source"]["network"]["packets"] for hit in found) == 1000
    assert count(siem, **{"destination.port": 22}) == 1, "a flood hides nothing else"


def test_offering_events_never_blocks(ship: Callable[..., FlowShipper]) -> None:
    attempt = {"at": "2026-11-22T09:10:13+00:00", "event": "connection", "socket": "a", "was": "SYN_RECV",
               "state": "ESTABLISHED", "protocol": 6, "source": "10.0.0.1", "source_port": 1,
               "destination": "10.0.0.2", "destination_port": 2}  # fmt: skip
    with siem_client("http://127.0.0.1:9") as client:
        shipper = ship(client, max_buffered=1000)
        begun = time.monotonic()
        shipper.offer(attempt for _ in range(50_000))
        assert time.monotonic() - begun < 1.0
        shipper.stop()
    assert shipper.counts.dropped > 0


def test_connection_is_shipped_with_its_process_and_outcome(
    siem: Elasticsearch, ship: Callable[..., FlowShipper]
) -> None:
    shipper = ship()
    ends = {"protocol": 6, "source": "fd77::11", "destination": "fd77::13", "destination_port": 5432}
    begun = {"at": "2026-11-22T09:10:13+00:00", "event": "connection", "socket": "a", **ends}
    shipper.offer([begun | {"was": "CLOSE", "state": "SYN_SENT", "source_port": 0, "pid": 41, "process": "nc"}])
    shipper.offer([begun | {"was": "SYN_SENT", "state": "CLOSE", "source_port": 40_000}])
    eventually(lambda: count(siem) == 1)
    found = siem.search(index=FLOWS, query={"term": {"event.action": "connection"}})["hits"]["hits"][0]["_source"]
    assert found["process"] == {"pid": 41, "name": "nc"}
    assert (found["event"]["outcome"], found["network"]["direction"]) == ("failure", "egress")
    assert found["network"]["type"] == "ipv6"


def test_accepted_connection_names_the_other_side_as_its_source() -> None:
    event = {"at": "2026-11-22T09:10:13+00:00", "event": "connection", "socket": "b", "protocol": 6,
             "was": "SYN_RECV", "state": "ESTABLISHED", "source": "10.0.0.2", "source_port": 5432,
             "destination": "10.0.0.1", "destination_port": 40_000}  # fmt: skip
    document = Connections(HOST).read(event)
    assert document is not None
    assert document["source"] == {"ip": "10.0.0.1", "port": 40_000}
    assert document["network"]["direction"] == "ingress"


@pytest.mark.parametrize("raw", ["", "{}", "[]", "null", '{"oob.time.sec": "x"}', line(src_ip="nowhere"), "\x00"])
def test_line_that_is_no_denial_is_counted_not_shipped(raw: str) -> None:
    assert denial(raw.encode(), HOST) is None


def test_shipper_leaves_no_thread_behind(ship: Callable[..., FlowShipper]) -> None:
    shipper = ship()
    shipper.stop()
    assert "flows" not in [thread.name for thread in threading.enumerate()]
