"""Text in lines, and bytes of which nothing is known.

Owns lines of any length read in bounded memory, and the look at unknown bytes: the first of them, and the printable
runs. A packed log is unpacked as far as the bound goes.
"""

import gzip
import re
from typing import BinaryIO, cast

from activities.evidence.preview.documents import BinaryPreview, HexRow, Line, PreviewRequest, TextPreview
from activities.evidence.preview.inert import LONG_LIMIT, decoded
from activities.evidence.preview.reading import Bounded, Deadline, buffered
from activities.evidence.preview.rows import Rows

LINE_BYTES = 64 << 10
UNPACKED_BYTES = 256 << 20
HEAD_BYTES = 512
BINARY_BYTES = 16 << 20
MAX_STRINGS = 500
GZIP_MAGIC = b"\x1f\x8b"
_RUN = re.compile(rb"[\x20-\x7e]{6,2000}")
_LOOK_AT_CLOCK = 4_096


def preview_text(stream: BinaryIO, request: PreviewRequest, deadline: Deadline) -> tuple[TextPreview, list[str]]:
    """One page of lines. Of a line that is too long, the beginning is shown and searched."""
    rows: Rows[Line] = Rows(request.q, request.page)
    number = long = 0
    while line := stream.readline(LINE_BYTES):
        number += 1
        text = line.rstrip(b"\r\n")
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            long += 1
            _skip_line(stream)
        if rows.wants(text.decode("utf-8", "replace") if request.q else ""):
            rows.kept.append(Line(number=number, text=decoded(text, LONG_LIMIT)))
        if number % _LOOK_AT_CLOCK == 0 and deadline.passed():
            break
    notes = (
        [f"{long:,} lines are longer than {LINE_BYTES:,} bytes: only their beginnings are searched."] if long else []
    )
    return TextPreview(lines=tuple(rows.kept), paged=rows.paged()), notes


def preview_packed(stream: BinaryIO, request: PreviewRequest, deadline: Deadline) -> tuple[TextPreview, list[str]]:
    """The text in a gzip file, up to a bound: a small file can unpack to anything."""
    bounded = Bounded(cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb")), UNPACKED_BYTES)
    preview, notes = preview_text(cast("BinaryIO", buffered(bounded)), request, deadline)
    notes.append(f"Unpacked from gzip: {bounded.count:,} bytes.")
    if bounded.cut:
        notes.append(f"It unpacks to more than {UNPACKED_BYTES:,} bytes: the rest is not in here.")
    return preview, notes


def preview_binary(stream: BinaryIO, request: PreviewRequest) -> tuple[BinaryPreview, list[str]]:
    """The first bytes, and what can be read in the first of them."""
    octets, needle = stream.read(BINARY_BYTES), request.q.lower().encode()
    strings, matching = list[Line](), 0
    for run in _RUN.finditer(octets):
        if needle in run[0].lower():
            matching += 1
            if len(strings) < MAX_STRINGS:
                strings.append(Line(number=run.start(), text=run[0].decode("ascii")))
    head = tuple(_hex(octets[at : at + 16], at) for at in range(0, min(len(octets), HEAD_BYTES), 16))
    notes = ["Strings are looked for in the first 16 MiB."] if len(octets) == BINARY_BYTES else []
    return BinaryPreview(head=head, strings=tuple(strings), matching=matching), notes


def _skip_line(stream: BinaryIO) -> None:
    while (more := stream.readline(LINE_BYTES)) and not more.endswith(b"\n"):
        pass


def _hex(octets: bytes, offset: int) -> HexRow:
    text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in octets)  # noqa: PLR2004 printable ASCII
    return HexRow(offset=offset, octets=octets.hex(" "), text=text)
