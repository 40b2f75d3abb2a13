import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.network import Lab

pytestmark = pytest.mark.lab

# Sends stdin, closes its writing side, prints what comes back, and the error's name if it isn't a clean end.
CLIENT = """
import socket, sys
data = sys.stdin.buffer.read()
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    while chunk := s.recv(65536):
        sys.stdout.buffer.write(chunk)
except OSError as error:
    print(type(error).__name__)
"""


def _ask(lab: Lab, port: int, text: str, *, gateway: str = "10.78.0.1") -> str:
    return lab["web"].run([sys.executable, "-c", CLIENT, gateway, str(port)], stdin=text).stdout


def _count(client: socket.socket) -> int:
    return sum(len(chunk) for chunk in iter(lambda: client.recv(65536), b""))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Callable[[str], int]]:
    """Starts servers that read to the end, then answer with a greeting and how much they read."""
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, greeting: str) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(f"{greeting} {_count(client)}".encode())

    def start(greeting: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, greeting), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture(scope="module")
def relayed(lab: Lab, upstream: Callable[[str], int]) -> Iterator[Lab]:
    """The shared lab, with a relay on port 7233."""
    lab.relay.start({7233: ("127.0.0.1", upstream("first"))})
    yield lab
    lab.relay.stop()


def test_a_host_reaches_a_loopback_port_of_the_machine_at_the_gateway(relayed: Lab) -> None:
    assert _ask(relayed, 7233, "hello") == "first 5"
    assert _ask(relayed, 7233, "hello", gateway="fd78::1") == "first 5"


def test_an_answer_comes_after_the_client_has_closed_its_side(relayed: Lab) -> None:
    size = 8 << 20
    assert _ask(relayed, 7233, "x" * size) == f"first {size}"


def test_a_new_table_of_ports_holds_at_once(relayed: Lab, upstream: Callable[[str], int]) -> None:
    first = upstream("first")
    relayed.relay.set_ports({7233: ("127.0.0.1", upstream("second")), 8000: ("127.0.0.1", first)})
    assert _ask(relayed, 7233, "") == "second 0"
    assert _ask(relayed, 8000, "") == "first 0"
    relayed.relay.set_ports({7233: ("127.0.0.1", first)})
    assert _ask(relayed, 8000, "").strip() == "ConnectionRefusedError"


def test_an_upstream_that_is_down_resets_the_connection(relayed: Lab, upstream: Callable[[str], int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    relayed.relay.set_ports({7233: ("127.0.0.1", port)})
    assert _ask(relayed, 7233, "hello").strip() in {"ConnectionResetError", "BrokenPipeError"}
    relayed.relay.set_ports({7233: ("127.0.0.1", upstream("back"))})
    assert _ask(relayed, 7233, "") == "back 0"


def test_a_relay_that_was_not_started_says_so(own_name: str, tmp_path: Path) -> None:
    with Lab.create(own_name, state_dir=tmp_path) as lab, pytest.raises(LabError, match="does not run"):
        lab.relay.set_ports({})
