"""What a preview says of an item: shapes that a confined process writes and the service reads.

Owns the request and the document. Every text in a document is inert already: what the eye can't see is spelled out,
and nothing is longer than its bound. Whoever reads a document checks it by these models: its writer has read bytes
that an intruder chose.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from activities.contracts.evidence import EvidenceKind
from segmentation.workloads import Frozen

MAX_ROWS = 500
MAX_NODES = 4_000
Shown = Annotated[str, StringConstraints(max_length=5_000)]
Query = Annotated[str, StringConstraints(max_length=200)]


class PreviewRequest(Frozen):
    """What is to be looked at, and how."""

    kind: EvidenceKind
    media_type: str
    name: str
    q: Query = Field(default="", description="Part of a row, a line or a value; capitals don't matter.")
    page: int = Field(default=1, ge=1, le=100_000)
    cut_at: float | None = Field(default=None, description="Moment of the containment, seconds since 1970.")


class Series(Frozen):
    """Counts over time in bins of one width."""

    start: float
    bin_seconds: float
    names: tuple[Shown, ...]
    counts: tuple[tuple[int, ...], ...] = Field(description="One row for each name, one number for each bin.")


class Share(Frozen):
    """One of several, with its part of the whole."""

    name: Shown
    packets: int
    octets: int


class Conversation(Frozen):
    """Two addresses and a service; the server is who has the lower port."""

    client: Shown
    server: Shown
    service: Shown
    packets: int
    octets: int
    to_server: int = Field(description="Packets.")
    to_client: int = Field(description="Packets.")
    opened: int = Field(description="TCP: connections begun (SYN without ACK).")
    after_cut: int = Field(description="Packets after the containment; 0 where its moment is not known.")
    first: datetime | None
    last: datetime | None


class Paged(Frozen):
    """Which part of the rows is here."""

    total: int
    matching: int
    page: int
    pages: int


class PacketsPreview(Frozen):
    """A capture in numbers."""

    form: Literal["packets"] = "packets"
    packets: int
    octets: int
    first: datetime | None
    last: datetime | None
    before_cut: int | None
    after_cut: int | None
    interfaces: tuple[Shown, ...]
    comment: Shown
    undissected: int = Field(description="Packets whose inside could not be read.")
    protocols: tuple[Share, ...]
    talkers: tuple[Share, ...]
    conversations: tuple[Conversation, ...]
    conversations_total: int
    names: tuple[Share, ...] = Field(description="Names that were asked for in DNS.")
    series: Series | None


class EventRow(Frozen):
    """One event."""

    at: datetime | None
    event: Shown
    text: Shown


class EventsPreview(Frozen):
    """What the kernel told, in time."""

    form: Literal["events"] = "events"
    counts: tuple[tuple[Shown, int], ...]
    lost: int
    unreadable: int
    first: datetime | None
    last: datetime | None
    series: Series | None
    rows: tuple[EventRow, ...]
    paged: Paged


class TablePreview(Frozen):
    """A document that is a list of entries."""

    form: Literal["table"] = "table"
    facts: tuple[tuple[Shown, Shown], ...]
    columns: tuple[Shown, ...]
    rows: tuple[tuple[Shown, ...], ...]
    paged: Paged


class Node(Frozen):
    """One value of a JSON document, in document order; `children` is None for a value that has no inside."""

    depth: int = Field(ge=0, le=64)
    label: Shown
    value: Shown
    children: int | None = None


class TreePreview(Frozen):
    """A JSON document as a tree, or what of it matches."""

    form: Literal["tree"] = "tree"
    nodes: tuple[Node, ...]
    matching: int
    total: int


class Line(Frozen):
    """One line of text."""

    number: int
    text: Shown


class TextPreview(Frozen):
    """Text, or what of it matches."""

    form: Literal["text"] = "text"
    lines: tuple[Line, ...]
    paged: Paged


class HexRow(Frozen):
    """Sixteen octets."""

    offset: int
    octets: Shown
    text: Shown


class BinaryPreview(Frozen):
    """Bytes of which nothing more is known."""

    form: Literal["binary"] = "binary"
    head: tuple[HexRow, ...]
    strings: tuple[Line, ...] = Field(description="Printable runs with their offsets.")
    matching: int


Content = Annotated[
    PacketsPreview | EventsPreview | TablePreview | TreePreview | TextPreview | BinaryPreview,
    Field(discriminator="form"),
]


class Preview(Frozen):
    """What the confined process writes."""

    content: Content
    notes: tuple[Shown, ...] = Field(default=(), description="What is not shown, and why.")
    octets_read: int


class Refusal(Frozen):
    """That it could not, in words for people."""

    problem: Shown
    hint: Shown = ""


class PreviewOfItem(Frozen):
    """A preview and what it is of."""

    case_id: str
    evidence_id: str
    size: int
    verified: bool = Field(description="Every byte was read, and the digest is the manifest's.")
    preview: Preview
