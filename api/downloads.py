"""Handing out bytes of evidence: as attachments, in parts where asked, with a custody event before the first byte.

Owns the order of things. An item that is small is hashed first, and not handed out where it was altered. A large one is
hashed while it leaves: its last piece is held back until the digest is known, and where that is wrong the connection
breaks off, so that nobody has a whole file that is not what was collected. A part can't be checked alone: its event
says which part, and whoever has all parts checks them against `Repr-Digest`.

Every read is an event. A download that goes on where it broke off (Range with If-Range) is told once in ten minutes,
if the same person began to read all of it, for the same purpose, in the ten minutes before. Any other part is an event
that names its bytes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from fastapi.responses import Response, StreamingResponse

from activities.contracts.custody import CustodyAction
from activities.contracts.evidence import CollectedItem
from activities.evidence import custody
from activities.evidence.receive import content_digest
from api.dependencies import ApiDependencies
from api.errors import Conflict, NotFound
from api.ranges import Span, asked_span, entity_tag

CONTINUED_SECONDS = 600
_WHOLE = " (all bytes, hashed while they leave)"
Chunks = Generator[bytes, None, None]


class EvidenceAltered(Conflict):
    """The vault holds other bytes than the manifest says."""

    code: ClassVar[str] = "evidence-altered"


@dataclass(frozen=True)
class Reading:
    """Who reads which item, and why."""

    case_id: str
    item: CollectedItem
    actor: str
    purpose: str

    @property
    def sha256(self) -> str:
        """What the bytes must hash to.

        Raises:
            NotFound: nothing was collected.
        """
        if self.item.sha256 is None or self.item.storage is None:
            raise NotFound(
                f"{self.item.evidence_id} has no bytes: {self.item.outcome.state}. {self.item.outcome.reason}".strip(),
                hint="The absence is evidence too; it is in the manifest.",
            )
        return self.item.sha256


async def hand_out(given: ApiDependencies, reading: Reading, asked: Mapping[str, str]) -> Response:
    """The bytes that the request's headers ask for.

    Raises:
        EvidenceAltered: they are not what was collected.
        RangeUnsatisfiable: the item has no such part.
    """
    size = await asyncio.to_thread(checked_size, given, reading)
    tag = entity_tag(reading.sha256)
    span = asked_span(asked.get("range"), asked.get("if-range"), tag, size)
    hashed_first = not span.partial and size <= given.limits.hash_first_bytes
    await asyncio.to_thread(
        _note_access, given, reading, span, hashed_first=hashed_first, continued="if-range" in asked
    )
    chunks = stored(given, reading, span.start, span.length)
    if not span.partial and not hashed_first:
        chunks = _checked(given, reading, chunks)
    headers = item_headers(reading, size) | {"Content-Length": str(span.length)}
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{size}"
    else:
        headers["Content-Digest"] = content_digest(reading.sha256)
    status = 206 if span.partial else 200
    return StreamingResponse(_sent(chunks), status, media_type="application/octet-stream", headers=headers)


async def describe(given: ApiDependencies, reading: Reading) -> Response:
    """The headers of the whole item, and none of its bytes: nothing is read, and no event."""
    size = await asyncio.to_thread(_found_size, given, reading)
    if size != reading.item.size:
        raise _other_size(reading, size)
    headers = item_headers(reading, size) | {"Content-Length": str(size)}
    return Response(media_type="application/octet-stream", headers=headers)


def stored(given: ApiDependencies, reading: Reading, start: int = 0, length: int | None = None) -> Chunks:
    """The bytes in the vault; nothing is opened before the first of them is asked for."""
    yield from given.vault.case(reading.case_id).read(reading.item.evidence_id, start, length)


def item_headers(reading: Reading, size: int) -> dict[str, str]:
    """What every answer with bytes of an item says; never shown by a browser."""
    return {
        "Accept-Ranges": "bytes" if size else "none",
        "Content-Disposition": f'attachment; filename="{reading.item.name}"',
        "ETag": entity_tag(reading.sha256),
        "Repr-Digest": content_digest(reading.sha256),
    }


def note(
    given: ApiDependencies,
    reading: Reading,
    action: CustodyAction,
    purpose: str,
    *,
    found: str | None = None,
    key: str = "",
) -> None:
    """A custody event that claims no digest but `found`, which the caller has computed."""
    case_id = reading.case_id
    build = custody.event(
        case_id,
        evidence_id=reading.item.evidence_id,
        action=action,
        actor=reading.actor,
        at=datetime.now(UTC),
        purpose=purpose,
        hash_before=found,
        hash_after=found,
        key=key,
    )
    given.evidence.tell(case_id, build)


def altered(reading: Reading, found: str) -> EvidenceAltered:
    """That the bytes are others."""
    return EvidenceAltered(
        f"{reading.item.evidence_id} has {found}, its manifest says {reading.item.sha256}.",
        hint="It is not handed out as evidence any more: look at the vault itself.",
    )


def checked_size(given: ApiDependencies, reading: Reading) -> int:
    """How long the item is.

    Raises:
        EvidenceAltered: not as long as what was collected; who wanted to read it is told of.
    """
    size = _found_size(given, reading)
    if size != reading.item.size:
        refused = f"refused: {size} bytes, {reading.item.size} were collected"
        note(given, reading, "access", f"{reading.purpose} ({refused})")
        raise _other_size(reading, size)
    return size


def _found_size(given: ApiDependencies, reading: Reading) -> int:
    _ = reading.sha256  # raises where nothing was collected
    return given.vault.find(reading.case_id, reading.item.evidence_id).size


def _other_size(reading: Reading, size: int) -> EvidenceAltered:
    return altered(reading, f"{size} bytes instead of {reading.item.size}")


def _note_access(given: ApiDependencies, reading: Reading, span: Span, *, hashed_first: bool, continued: bool) -> None:
    if hashed_first:
        evidence_id = reading.item.evidence_id
        noted = given.evidence.record(
            reading.case_id, evidence_id, action="access", actor=reading.actor, purpose=reading.purpose
        )
        if noted.hash_after != reading.sha256:
            raise altered(reading, f"sha256 {noted.hash_after}")
        return
    if not span.partial:
        note(given, reading, "access", reading.purpose + _WHOLE)
        return
    part = f"bytes {span.start} to {span.start + span.length - 1}"
    key = _continued_key(reading, "" if _is_begun(given, reading) else part) if continued else ""
    note(given, reading, "access", f"{reading.purpose} ({'continued with ' if key else ''}{part})", key=key)


def _is_begun(given: ApiDependencies, reading: Reading) -> bool:
    """Whether it is on record that the same person began to read all of it, for the same purpose, just now."""
    since = datetime.now(UTC) - timedelta(seconds=CONTINUED_SECONDS)
    whole = {reading.purpose, reading.purpose + _WHOLE}
    return any(
        (event.evidence_id, event.action, event.actor) == (reading.item.evidence_id, "access", reading.actor)
        and event.purpose in whole
        and event.at >= since
        for event in given.ledger.custody.custody(reading.case_id)
    )


def _continued_key(reading: Reading, part: str) -> str:
    """The id of the event that stands for this part, or for every continuation of what was begun, for ten minutes."""
    window = int(datetime.now(UTC).timestamp() // CONTINUED_SECONDS)
    said = "\0".join((reading.actor, reading.purpose, str(window), part))
    return f"{reading.item.evidence_id}.access.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _checked(given: ApiDependencies, reading: Reading, chunks: Chunks) -> Chunks:
    """The same pieces; the last one only if all of them are what was collected."""
    digest, held = hashlib.sha256(), b""
    for chunk in chunks:
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    found = digest.hexdigest()
    if found != reading.sha256:
        note(given, reading, "verify", f"{reading.purpose} (broken off: the bytes were altered)", found=found)
        raise altered(reading, f"sha256 {found}")
    note(given, reading, "verify", f"{reading.purpose} (read to the end, as collected)", found=found)
    yield held


async def _sent(chunks: Chunks) -> AsyncIterator[bytes]:
    """The pieces, each read in a thread; whatever happens to the client, the file is closed."""
    try:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        chunks.close()
