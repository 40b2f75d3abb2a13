"""Netlink in the little that the kill-switch needs: dumps, acknowledged requests, attributes.

Owns the message framing (netlink(7)). Never interprets a payload. A socket belongs to the network namespace
of the thread that opens it, costs 20 microseconds, and is opened where it is used.

    with Netlink(NETLINK_SOCK_DIAG) as link:
        for payload in link.dump(SOCK_DIAG_BY_FAMILY, request):
            attributes(payload, 72)
"""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR_CODE = struct.Struct("=i")
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 0x2, 0x3
_TYPE_MASK = 0x3FFF
_NESTED = 0x8000
# The kernel fills a dump up to 32 KiB at a time and to the size of the reader's buffer (netlink_dump()).
_BUFFER = 1 << 16


class Netlink:
    """One netlink socket for requests."""

    def __init__(self, protocol: int, *, timeout_seconds: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(timeout_seconds)
        self._socket.bind((0, 0))
        self._protocol, self._sequence = protocol, 0

    def dump(self, kind: int, payload: bytes) -> Iterator[bytes]:
        """Payloads of every message of a dump; raises OSError with the kernel's reason."""
        self._send(kind, _DUMP, payload)
        while True:
            for message_kind, message in self._receive():
                if message_kind == _DONE:
                    return
                yield message

    def ask(self, kind: int, payload: bytes) -> None:
        """A request without an answer; raises OSError with the kernel's reason."""
        self._send(kind, _ACK, payload)
        list(self._receive())

    def get(self, kind: int, payload: bytes) -> bytes:
        """The payload of the one answer to a request; raises OSError with the kernel's reason."""
        self._send(kind, 0, payload)
        return next(self._receive())[1]

    def close(self) -> None:
        """Close the socket, without waiting for the kernel to be done with it."""
        if self._protocol == NETFILTER:
            # nf_tables makes this wait for an RCU grace period, 20 ms after a table was deleted.
            threading.Thread(target=self._socket.close).start()
        else:
            self._socket.close()

    def _send(self, kind: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST | flags, self._sequence, 0)
        self._socket.send(header + payload)

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        data = self._socket.recv(_BUFFER)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
            payload = data[offset + _HEADER.size : offset + length]
            if kind in (_ERROR, _DONE) and len(payload) >= _ERROR_CODE.size:
                _raise(_ERROR_CODE.unpack_from(payload)[0])
            yield kind, payload
            offset += _aligned(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def attributes(payload: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by type, the flags of the type taken off."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = payload[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return found


def attribute(kind: int, value: bytes, *, nested: bool = False) -> bytes:
    """One attribute with its padding."""
    length = _ATTRIBUTE.size + len(value)
    header = _ATTRIBUTE.pack(length, kind | (_NESTED if nested else 0))
    return header + value + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _raise(code: int) -> None:
    if code < 0:
        raise OSError(-code, os.strerror(-code))
