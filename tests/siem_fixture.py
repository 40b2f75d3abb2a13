"""One SIEM in memory for all tests, with our templates in it; each test that asks for `siem` has a clone of its own."""

from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch
from osmem_server import OsmemServer

from activities.siem.client import siem_client
from activities.siem.templates import install_templates


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
