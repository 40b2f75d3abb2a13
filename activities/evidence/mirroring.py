"""The ledger's chains of a case, and their copy beside the bytes.

Owns completing the copy, and telling the ledger how far it reaches once it does. Where the two disagree is for
`agreement`. Called under the case's lock.

    head = mirror(chains, vault, "inc-1")
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol, TypeVar

from activities.contracts.copies import Copied
from activities.contracts.custody import CustodyEvent, Manifest
from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.interface import CaseReader, Vault
from activities.evidence.vault.layout import GENESIS, Folder, Head, chained_name
from playbooks.canonical import canonical

Link = TypeVar("Link", Manifest, CustodyEvent)


class CaseCopies(Protocol):
    """What the ledger knows of copies."""

    def find(self, case_id: str) -> Copied | None:
        """How far one reaches; None: nothing was ever copied."""

    def note(self, case_id: str, *, manifests: int, custody: int) -> None:
        """It reaches so far now."""


class CaseChains(Protocol):
    """What the ledger keeps of cases: two chains each, appended in order, idempotent by id."""

    @property
    def copies(self) -> CaseCopies:
        """How much of them is in the vault."""

    def append_manifest(self, case_id: str, build: Callable[[int, str], Manifest]) -> Manifest:
        """Chain an item."""

    def manifests(self, case_id: str, after: int = 0) -> Sequence[Manifest]:
        """The items in order, without the first ones."""

    def append_custody(self, case_id: str, build: Callable[[int, str], CustodyEvent]) -> CustodyEvent:
        """Chain an event."""

    def custody(self, case_id: str, after: int = 0) -> Sequence[CustodyEvent]:
        """The events in order, without the first ones."""


def head_of(case_id: str, manifests: Sequence[Manifest], events: Sequence[CustodyEvent]) -> Head:
    """How long the chains are and where they end."""
    return Head(
        case_id=case_id,
        manifests=len(manifests),
        manifest_head=_hash(manifests[-1]) if manifests else GENESIS,
        custody=len(events),
        custody_head=_hash(events[-1]) if events else GENESIS,
    )


def mirror(chains: CaseChains, vault: Vault, case_id: str) -> Head:
    """Write what the vault lacks of the chains, then its head; what stands there already stays.

    Only what is behind the vault's head is read and written, if that is a head of these chains.
    """
    reader = vault.case(case_id)
    known = _known(reader, case_id)
    manifests = _behind(chains.manifests, case_id, known.manifests, known.manifest_head)
    events = _behind(chains.custody, case_id, known.custody, known.custody_head)
    _keep(vault, reader, case_id, "manifests", *manifests)
    _keep(vault, reader, case_id, "custody", *events)
    head = Head(
        case_id=case_id,
        manifests=manifests[0] + len(manifests[1]),
        manifest_head=_hash(manifests[1][-1]) if manifests[1] else _start(manifests[0], known.manifest_head),
        custody=events[0] + len(events[1]),
        custody_head=_hash(events[1][-1]) if events[1] else _start(events[0], known.custody_head),
    )
    vault.put_head(head)
    # Last of all: what the vault lacks of this was there once, and was taken away.
    chains.copies.note(case_id, manifests=head.manifests, custody=head.custody)
    return head


def _known(reader: CaseReader, case_id: str) -> Head:
    try:
        return reader.head() or head_of(case_id, (), ())
    except VaultMismatch:
        return head_of(case_id, (), ())


def _behind(
    read: Callable[[str, int], Sequence[Link]], case_id: str, length: int, head: str
) -> tuple[int, Sequence[Link]]:
    """What of a chain is behind a head, and how long it was there; all of it, where it never had that head."""
    if length:
        links = read(case_id, length - 1)
        if links and _hash(links[0]) == head:
            return length, links[1:]
    return 0, read(case_id, 0)


def _keep(vault: Vault, reader: CaseReader, case_id: str, folder: Folder, after: int, links: Sequence[Link]) -> None:
    known = set(reader.documents(folder)) if links and not after else set[str]()
    for seq, link in enumerate(links, start=after + 1):
        if (name := chained_name(seq, _key(link))) not in known:
            vault.put_document(case_id, folder, name, canonical(link))


def _key(link: Manifest | CustodyEvent) -> str:
    return link.item.evidence_id if isinstance(link, Manifest) else link.event_id


def _start(length: int, head: str) -> str:
    return head if length else GENESIS


def _hash(link: Manifest | CustodyEvent) -> str:
    return sha256(canonical(link)).hexdigest()
