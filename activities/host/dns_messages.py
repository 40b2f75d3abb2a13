"""The head of a DNS message as a document: RFC 1035, 4.1, from octets that anybody may have made.

Owns the header and the first question. Never raises: a message that is none says so. Names are escaped as in master
files, so that no octet of theirs means anything to whoever shows them.

    read_message(bytes.fromhex("123401000001000000000000026576..."))
    # -> {"id": 4660, "answer": False, "code": 0, "questions": 1, "answers": 0, "name": "ev.example.", "type": "A"}
"""

import struct
from typing import Any

_HEAD = struct.Struct("!HHHHHH")
_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
          41: "OPT", 43: "DS", 46: "RRSIG", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 252: "AXFR", 255: "ANY"}  # fmt: skip
_ANSWER, _CODE = 0x8000, 0x000F
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
# What would end a label or a line where names are read: RFC 1035, 5.1.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*/")


def read_message(octets: bytes) -> dict[str, Any]:
    """The message as far as it is there; `cut` when the question goes on beyond it."""
    if len(octets) < _HEAD.size:
        return {"unreadable": octets.hex()}
    number, flags, questions, answers, _, _ = _HEAD.unpack_from(octets)
    document: dict[str, Any] = {
        "id": number,
        "answer": bool(flags & _ANSWER),
        "code": flags & _CODE,
        "questions": questions,
        "answers": answers,
    }
    return document | _question(octets[_HEAD.size :]) if questions else document


def _question(octets: bytes) -> dict[str, Any]:
    labels: list[str] = []
    position = 0
    while position < len(octets) and position <= _LONGEST_NAME:
        length = octets[position]
        if length > _LONGEST_LABEL:
            # A pointer has nothing before it to point to.
            return {"unreadable": octets[:_LONGEST_NAME].hex()}
        if length == 0:
            return {"name": _name(labels), **_type(octets[position + 1 : position + 5])}
        labels.append(_escaped(octets[position + 1 : position + 1 + length]))
        position += 1 + length
    return {"name": _name(labels).removesuffix("."), "cut": True}


def _name(labels: list[str]) -> str:
    return ".".join(labels) + "."


def _escaped(label: bytes) -> str:
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:03d}" for octet in label)


def _type(octets: bytes) -> dict[str, Any]:
    if len(octets) < 4:  # noqa: PLR2004  type and class, two octets each
        return {"cut": True}
    (number,) = struct.unpack_from("!H", octets)
    return {"type": _TYPES.get(number, f"TYPE{number}")}
