"""A real SIEM, in memory: each test has a clone of its own, with our templates in it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from osmem_server import OsmemServer

from activities.siem.client import siem_client
from activities.siem.templates import FLOWS, install_templates

NOW = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
Deny = Callable[..., list[str]]


@pytest.fixture(scope="session")
def siem_server() -> Iterator[OsmemServer]:
    with OsmemServer.start(japanese=False) as server:
        install_templates(siem_client(server.url))
        yield server
    assert server.process.stdout
    server.process.stdout.close()


@pytest.fixture
def siem(siem_server: OsmemServer) -> Iterator[Elasticsearch]:
    with siem_server.clone() as clone, siem_client(clone.url) as client:
        yield client


@pytest.fixture
def deny(siem: Elasticsearch) -> Deny:
    """Ship denials the way a host does: one every 100 ms, the last one second before NOW."""

    def ship(count: int, source: str, destination: str, port: int = 5432, **more: Any) -> list[str]:
        lines: list[dict[str, Any]] = []
        end = more.get("end", NOW - timedelta(seconds=1))
        for number in range(count):
            moment = end - timedelta(milliseconds=100 * (count - 1 - number))
            flow = {
                "@timestamp": moment.isoformat(),
                "event": {"action": more.get("action", "denied")},
                "source": {"ip": source, "port": 40_000 + number},
                "destination": {"ip": destination, "port": port},
                "host": {"name": more.get("host", "db")},
            }
            lines += [{"create": {}}, flow]
        written = siem.bulk(index=FLOWS, operations=lines, refresh=True)
        return [item["create"]["_id"] for item in written["items"]]

    return ship
