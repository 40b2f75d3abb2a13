"""A lab whose hosts can be isolated, with a control plane that answers on the management network."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cast
from lab.entering import within
from lab.network import Lab
from tests.activities.host.agents import LIFELINE_PORT, Agent, Agents
from tests.activities.host.pair import Pair


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Hosts with their services; the gateway accepts what comes on the lifeline's port."""
    with Lab.create(f"k{os.getpid()}", state_dir=tmp_path_factory.mktemp("lab")) as built:
        cast.start_services(built)
        with control_plane(built):
            yield built


class control_plane:  # noqa: N801  reads as what it is: a context
    """Accepts connections on the gateway, as Temporal would, until left."""

    def __init__(self, lab: Lab) -> None:
        self._server: socket.socket = within(f"{lab.name}-net", self._listen)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @staticmethod
    def _listen() -> socket.socket:
        address = ("::", LIFELINE_PORT)
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            client.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def agents(lab: Lab, tmp_path: Path) -> Iterator[Agents]:
    """An agent for each host that a test wants one on; whatever isolation it leaves is lifted after it."""
    made = Agents(lab, tmp_path)
    yield made
    made.close()


@pytest.fixture
def web(agents: Agents) -> Agent:
    return agents["web"]


@pytest.fixture
def app(agents: Agents) -> Agent:
    return agents["app"]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A host of one's own, to be rebooted."""
    with Pair(tmp_path) as made:
        yield made
