"""TCP to a server on this machine that can go away: at once, or after so many bytes.

Owns the listener and its connections. Away means that whoever connects is reset, as is who is connected: the server
behind it keeps what it holds. Never looks into the bytes.

    with FaultRelay(("127.0.0.1", 5000)) as relay:
        client_of(relay.url)
        relay.cut_after(40 << 20)     # in the middle of something large
        relay.cut.wait(); relay.restore()
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # socket(7): lingering for 0 s turns close into RST
_CHUNK_BYTES = 256 << 10


class FaultRelay:
    """As long as the context lasts. `cut` is set while the server is away; `refused` counts who was sent off."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self.cut = threading.Event()
        self.refused = 0

    @property
    def url(self) -> str:
        """What clients take for the server's."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_after(self, octets: int) -> None:
        """Be away as soon as clients have sent so many more bytes."""
        with self._lock:
            self._left = octets

    def restore(self) -> None:
        """Be there again."""
        self.cut.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="fault-relay", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self.cut.is_set():
                self.refused += 1
                _reset(client)
                client.close()
            else:
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream)
        except OSError:
            _reset(client)
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=_pump, args=(server, client, lambda _: None), daemon=True)
        answers.start()
        _pump(client, server, self._count)
        answers.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _count(self, octets: int) -> None:
        with self._lock:
            if self._left is None:
                return
            self._left -= octets
            if self._left > 0:
                return
            self._left = None
            self.cut.set()
        self._drop_all()
        raise ConnectionResetError

    def _drop_all(self) -> None:
        with self._lock:
            for one in self._open:
                _reset(one)


def _pump(source: socket.socket, target: socket.socket, count: Callable[[int], None]) -> None:
    with contextlib.suppress(OSError):  # reset: so is the other half
        while data := source.recv(_CHUNK_BYTES):
            count(len(data))
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _reset(one: socket.socket) -> None:
    """With RST when it is closed, whoever waits for it woken."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
