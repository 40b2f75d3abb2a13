"""What bpftrace prints, as documents: connections, attempts, executions, denials, DNS, and how many were lost.

Owns the reading of one line of `bpftrace -f json` running our programs (bpftrace/*.bt). Pure. Names in a
line were chosen by whoever runs programs on the host: they stand last, so that they can't become fields.

    parse(b'{"type": "printf", "data": "execution 2324872607271 29163 28793 0 /bin/sh"}', boot_ns)
    # -> {"at": "2026-...", "event": "execution", "pid": 29163, "ppid": 28793, "uid": 0, "file": "/bin/sh"}
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from activities.host.dns_messages import read_message

Document = dict[str, Any]
# net/tcp_states.h
STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
          "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV")  # fmt: skip
# Only these happen in the context of the process that owns the socket.
_OWNED = frozenset({"SYN_SENT", "LISTEN"})
# bpftrace 0.17 writes an octet above 0x7f as \uffffffXX, sign-extended; every other escape is JSON's.
_ESCAPE = re.compile(rb"\\(?:uffffff([89a-f][0-9a-f])|.)", re.DOTALL)
_SIGN_EXTENDED = rb"\uffffff"
_MAPPED = "::ffff:"
_ATTACHING = b'{"type": "attached_probes"'


def parse(line: bytes, boot_ns: int) -> Document | None:
    """One line as a document; None for what bpftrace says of itself. `boot_ns`: the boot, since 1970."""
    try:
        plain = _ESCAPE.sub(_octet, line) if _SIGN_EXTENDED in line else line
        message = json.loads(plain.decode("utf-8", "backslashreplace"))
        kind, data = message["type"], message["data"]
        if kind == "lost_events":
            return {"event": "lost", "count": int(data["events"])}
        return _document(str(data).removesuffix("\n"), boot_ns) if kind == "printf" else None
    except (ValueError, KeyError, TypeError, IndexError):
        return {"event": "unreadable", "line": line[:512].decode("ascii", "backslashreplace")}


def is_attaching(line: bytes) -> bool:
    """Whether the line says that the programs are compiled and about to be attached."""
    return line.startswith(_ATTACHING)


def lost(document: Document) -> int:
    """How many events a document says are missing."""
    return int(document["count"]) if document["event"] in ("lost", "skipped") else 0


def _octet(escape: re.Match[bytes]) -> bytes:
    # As text `\xNN` with its backslash escaped: names need not be UTF-8, JSON must be.
    return b"\\\\x" + escape[1] if escape[1] else escape[0]


def _document(text: str, boot_ns: int) -> Document:
    event, nsecs, rest = text.split(" ", 2)
    at = datetime.fromtimestamp((boot_ns + int(nsecs)) / 1e9, UTC).isoformat(timespec="microseconds")
    return {"at": at, "event": event} | _READERS[event](rest)


def _connection(rest: str) -> Document:
    socket, protocol, was, state, sport, dport, source, destination, pid, uid, name = rest.split(" ", 10)
    known = STATES[int(state)]
    owner = {"pid": int(pid), "uid": int(uid), "process": name} if known in _OWNED else {}
    return {
        "socket": socket,
        "state": known,
        "was": STATES[int(was)],
        "protocol": int(protocol),
        "source": _address(source),
        "source_port": int(sport),
        "destination": _address(destination),
        "destination_port": int(dport),
    } | owner


def _execution(rest: str) -> Document:
    pid, parent, uid, name = rest.split(" ", 3)
    return {"pid": int(pid), "ppid": int(parent), "uid": int(uid), "file": name}


def _attempt(rest: str) -> Document:
    pid, uid, destination, port, name = rest.split(" ", 4)
    return {
        "pid": int(pid),
        "uid": int(uid),
        "destination": _address(destination),
        "destination_port": _host_order(int(port)),
        "process": name,
    }


def _dns(rest: str) -> Document:
    direction, pid, size, source, destination, sport, dport, octets = rest.split(" ", 7)
    message = bytes.fromhex(octets)
    whole = int(size) - _UDP_HEAD_BYTES
    sender = {"pid": int(pid)} if direction == "out" else {}
    return {
        "direction": direction,
        "source": source,
        "source_port": _host_order(int(sport)),
        "destination": destination,
        "destination_port": _host_order(int(dport)),
        "size": whole,
        **sender,
        **read_message(message[: max(0, whole)]),
    }


def _denial(rest: str) -> Document:
    reason, protocol, source, destination, sport, dport = rest.split(" ")
    return {
        "reason": int(reason),
        "protocol": int(protocol),
        "source": source,
        "source_port": _host_order(int(sport)),
        "destination": destination,
        "destination_port": _host_order(int(dport)),
    }


def _skipped(rest: str) -> Document:
    kind, count = rest.split(" ")
    return {"kind": kind, "count": int(count)}


def _address(text: str) -> str:
    # As the kernel spells it; its IPv4 stands as ::ffff:a.b.c.d.
    return text[len(_MAPPED) :] if text.startswith(_MAPPED) and "." in text else text


def _host_order(port: int) -> int:
    return (port >> 8) | (port & 0xFF) << 8


_UDP_HEAD_BYTES = 8
_READERS: dict[str, Callable[[str], Document]] = {
    "connection": _connection,
    "attempt": _attempt,
    "execution": _execution,
    "dns": _dns,
    "denial": _denial,
    "skipped": _skipped,
}
