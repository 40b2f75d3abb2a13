"""The two chains of a case, read back link by link.

Owns finding the first link that does not hold, and telling which of two neighbours was altered. Reads documents
alone; what the bytes of an item are is for `verify`.

    chain = read_chain(reader, "custody", CustodyEvent)
    chain.head, chain.failure
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Generic, TypeVar

from pydantic import ValidationError

from activities.contracts.custody import CustodyEvent, Manifest
from activities.evidence.errors import VaultMismatch, VaultMissing, VaultRefused
from activities.evidence.vault.interface import CaseReader
from activities.evidence.vault.layout import GENESIS, SEPARATOR, Folder, chained_name
from playbooks.canonical import canonical

Link = TypeVar("Link", Manifest, CustodyEvent)


@dataclass(frozen=True)
class Chain(Generic[Link]):
    """What could be read of a chain, in order, until the first link that does not hold."""

    folder: Folder
    names: tuple[str, ...]
    links: tuple[Link, ...]
    hashes: tuple[str, ...]
    failure: str = ""

    @property
    def head(self) -> str:
        """The hash of the last link."""
        return self.hash_at(len(self.links))

    def hash_at(self, length: int) -> str:
        """The head when the chain had this length."""
        return self.hashes[length - 1] if length else GENESIS

    def first(self, length: int) -> "Chain[Link]":
        """The chain as it was when it had this length."""
        return replace(self, names=self.names[:length], links=self.links[:length], hashes=self.hashes[:length])

    def path(self, number: int) -> str:
        """How a link is called; counted from 1."""
        name = self.names[number - 1] if number <= len(self.names) else f"{number:06d}"
        return f"{self.folder}/{name}"


def read_chain(reader: CaseReader, folder: Folder, kind: type[Link], end: str | None = None) -> Chain[Link]:
    """The chain in a folder; `end` is its head by the case's head, which tells who is wrong of the last two."""
    names = tuple(reader.documents(folder))
    links: list[Link] = []
    hashes: list[str] = []
    failure = ""
    for seq, name in enumerate(names, start=1):
        link, content, failure = _link(reader, folder, name, kind)
        failure = failure or _misplaced(link, seq, name)
        failure = failure and f"{folder}/{name}: {failure}"
        if not failure and link is not None:
            failure = _discontinued(reader, folder, names, seq, (_prev(link), content, hashes, end))
        if failure or link is None:
            break
        links.append(link)
        hashes.append(sha256(content).hexdigest())
    missing = _hole(folder, names)
    return Chain(folder, names, tuple(links), tuple(hashes), missing or failure)


def _hole(folder: Folder, names: tuple[str, ...]) -> str:
    """The first place of a chain that nothing is at."""
    for seq, name in enumerate(names, start=1):
        if not name.startswith(f"{seq:06d}{SEPARATOR}"):
            return f"{folder}/{seq:06d}: expected a link of this place, found {name} next"
    return ""


def _link(reader: CaseReader, folder: Folder, name: str, kind: type[Link]) -> tuple[Link | None, bytes, str]:
    try:
        content = reader.document(folder, name)
        link = kind.model_validate_json(content)
    except (VaultMissing, VaultMismatch, VaultRefused, ValidationError) as error:
        return None, b"", f"can't be read as a {kind.__name__}: {str(error).splitlines()[0]}"
    if canonical(link) != content:
        return None, content, "is not in the canonical form in which it was hashed"
    return link, content, ""


def _misplaced(link: Manifest | CustodyEvent | None, seq: int, name: str) -> str:
    if link is None:
        return ""
    if isinstance(link, Manifest) and link.seq != seq:
        return f"expected place {seq} of the chain, found {link.seq}"
    key = link.item.evidence_id if isinstance(link, Manifest) else link.event_id
    return "" if name == chained_name(seq, key) else f"expected the name {chained_name(seq, key)}"


def _prev(link: Manifest | CustodyEvent) -> str:
    return link.prev_hash if isinstance(link, Manifest) else link.prev_event_hash


def _discontinued(
    reader: CaseReader,
    folder: Folder,
    names: tuple[str, ...],
    seq: int,
    found: tuple[str, bytes, list[str], str | None],
) -> str:
    """Why a link does not continue the one before.

    Which of the two was altered: one that what comes after vouches for was not.
    """
    prev, content, hashes, end = found
    before = hashes[-1] if hashes else GENESIS
    if prev == before:
        return ""
    vouched = sha256(content).hexdigest() == (_reference(reader, folder, names[seq]) if seq < len(names) else end)
    if vouched and seq > 1:
        return f"{folder}/{names[seq - 2]}: expected sha256 {prev} as the next link says, found {before}"
    return f"{folder}/{names[seq - 1]}: expected to continue {before}, found {prev}"


def _reference(reader: CaseReader, folder: Folder, name: str) -> str | None:
    """What a link says of the one before."""
    kind: type[Manifest | CustodyEvent] = Manifest if folder == "manifests" else CustodyEvent
    try:
        return _prev(kind.model_validate_json(reader.document(folder, name)))
    except (VaultMissing, VaultMismatch, VaultRefused, ValidationError):
        return None
