"""Which kind of preview an item gets.

Owns the choice: what the manifest says it is, unless the bytes begin like something else. Whatever can't be read as
what it should be is shown as text, and what is no text as bytes: there is always something to look at.
"""

import zlib
from io import BufferedReader, BytesIO
from typing import BinaryIO, cast

from activities.evidence.preview.documents import Content, Preview, PreviewRequest, Refusal
from activities.evidence.preview.events import preview_events
from activities.evidence.preview.packet_blocks import MAGICS, Capture
from activities.evidence.preview.packets import preview_packets
from activities.evidence.preview.reading import Bounded, Deadline, buffered
from activities.evidence.preview.texts import GZIP_MAGIC, preview_binary, preview_packed, preview_text
from activities.evidence.preview.trees import parse, preview_json

INPUT_BYTES = 1 << 30
JSON_BYTES = 24 << 20
READ_SECONDS = 30.0
_LOOK_BYTES = 4_096
_HINT = "Fetch the item and look at it with a tool of your own: firebreak evidence get."
# The controls that text has: tab, line feed, form feed, carriage return, escape.
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})


def look(source: BinaryIO, request: PreviewRequest) -> Preview | Refusal:
    """Look at a stream of bytes; whatever they are, there is an answer."""
    try:
        return _preview(source, request)
    except MemoryError:
        return Refusal(problem="The preview needs more memory than it may have.", hint=_HINT)
    except (ValueError, LookupError, ArithmeticError, RecursionError, TypeError, zlib.error) as error:
        # Bytes of a stranger can fail in ways that nobody thought of; they cost their own preview alone.
        return Refusal(problem=f"The bytes can't be read ({type(error).__name__}).", hint=_HINT)


def _preview(source: BinaryIO, request: PreviewRequest) -> Preview:
    bounded, deadline = Bounded(source, INPUT_BYTES), Deadline(READ_SECONDS)
    stream = buffered(bounded)
    content, notes = _content(stream, request, deadline)
    if deadline.missed:
        notes.append(deadline.note)
    if bounded.cut:
        notes.append(f"Only the first {INPUT_BYTES:,} bytes were read.")
    return Preview(content=content, notes=tuple(note for note in notes if note), octets_read=bounded.count)


def _content(stream: BufferedReader, request: PreviewRequest, deadline: Deadline) -> tuple[Content, list[str]]:
    head = stream.peek(_LOOK_BYTES)[:_LOOK_BYTES]
    plain = cast("BinaryIO", stream)
    if head.startswith(MAGICS):
        return preview_packets(Capture(plain), request, deadline)
    if head.startswith(GZIP_MAGIC):
        return _packed(plain, request, deadline)
    if head and (head.translate(None, _CONTROLS) != head or request.kind in ("memory", "snapshot")):
        return preview_binary(plain, request)
    if request.kind == "ebpf-events":
        return preview_events(plain, request, deadline), []
    if "ndjson" not in request.media_type and head.lstrip()[:1] in (b"{", b"["):
        return _json(plain, request, deadline)
    return preview_text(plain, request, deadline)


def _json(stream: BinaryIO, request: PreviewRequest, deadline: Deadline) -> tuple[Content, list[str]]:
    octets = stream.read(JSON_BYTES)
    more = stream.peek(1)[:1] if isinstance(stream, BufferedReader) else b""
    try:
        if not more:
            return preview_json(parse(octets), request), []
        why = f"It is longer than {JSON_BYTES:,} bytes: shown as text."
    except RecursionError:
        why = "It is nested too deep for a document: shown as text."
    except ValueError as error:
        why = f"It is no JSON document ({str(error)[:100]}): shown as text."
    content, notes = preview_text(cast("BinaryIO", _Rest(octets, stream)), request, deadline)
    return content, [why, *notes]


def _packed(stream: BinaryIO, request: PreviewRequest, deadline: Deadline) -> tuple[Content, list[str]]:
    try:
        return preview_packed(stream, request, deadline)
    except (OSError, EOFError, ValueError) as error:  # what gzip and zlib raise
        content, notes = preview_binary(stream, request)
        return content, [f"It begins like a gzip file and is none ({str(error)[:100]}).", *notes]


class _Rest:
    """Bytes that were read already, then the stream they came from."""

    def __init__(self, octets: bytes, stream: BinaryIO) -> None:
        self._octets, self._stream = BytesIO(octets), stream

    def readline(self, limit: int) -> bytes:
        """A line, or a part of one; where the two meet, a line comes in two parts."""
        return self._octets.readline(limit) or self._stream.readline(limit)
