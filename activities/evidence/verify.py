"""Verifying a case from what is there: no ledger, no network, no service of ours.

Owns recomputing every hash and both chains, and naming the first thing that does not hold, in the order in which a
reader should look: manifests, artefacts, custody, keys, seals and timestamps, documents. Reads only, piece by piece.
What it can't know: whether a key that came with the case is whose it should be; it names its fingerprint.

    verify_case(vault.case("inc-1"), "inc-1", Trust())   # -> CaseVerdict(items=9, verified=9, ok=True)
    verify_case_directory(Path("case/inc-1"))
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from activities.contracts.custody import CaseVerdict
from activities.contracts.evidence import CollectedItem, Storage
from activities.evidence.chains import Chain, Link
from activities.evidence.contents import CaseContents, read_case
from activities.evidence.errors import VaultKeyRefused, VaultMismatch, VaultMissing
from activities.evidence.sealing.checking import CheckedSeals, check_seals
from activities.evidence.sealing.coverage import Demands, check_coverage, state_of_stamps, with_stamps
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.directory import DirectoryCase
from activities.evidence.vault.interface import CaseReader, Kept
from activities.evidence.vault.writing import sha256_of

# Told of bytes done and bytes in all, now and then.
Progress = Callable[[int, int], None]
NOTHING = Demands()


def verify_case_directory(case_dir: Path, trust: Trust | None = None) -> CaseVerdict:
    """A case's directory in a vault, or a copy of it."""
    return verify_case(DirectoryCase(case_dir), case_dir.name, trust or Trust())


def verify_case(
    reader: CaseReader, case_id: str, trust: Trust, *, progress: Progress | None = None, stamps: bool = False
) -> CaseVerdict:
    """Everything about a case; `first_failure` is what a reader should look at first.

    Who brings a key asks for a seal, who asks for `stamps` for the timestamp of each.
    """
    demands = Demands(seal=trust.given, stamps=stamps)
    verdict = judge_case(reader, read_case(reader), case_id, trust, progress=progress, demands=demands)
    return with_stamps(verdict, demands)


def judge_case(
    reader: CaseReader,
    contents: CaseContents,
    case_id: str,
    trust: Trust,
    *,
    progress: Progress | None = None,
    demands: Demands = NOTHING,
) -> CaseVerdict:
    """The same of what was read before; a case at work may have no seal yet. Pending timestamps fail nothing here."""
    artefacts = _Artefacts(reader, contents, progress or (lambda _done, _total: None))
    broken = artefacts.check()
    seals = check_seals(contents, trust)
    lacking, loose = check_coverage(contents, seals, trust, demands)
    head = contents.head
    failures = [
        contents.head_failure,
        contents.manifests.failure,
        *_end_failures(contents.manifests, case_id, (head.manifests, head.manifest_head) if head else None),
        *broken.values(),
        artefacts.listing_failure,
        contents.custody.failure,
        *_end_failures(contents.custody, case_id, (head.custody, head.custody_head) if head else None),
        f"head.json: expected case {case_id}, found {head.case_id}" if head and head.case_id != case_id else "",
        *_custody_failures(contents),
        *seals.failures,
        *lacking,
    ]
    first = next((failure for failure in failures if failure), "")
    return CaseVerdict(
        items=len(contents.manifests.links),
        verified=len(contents.manifests.links) - len(broken),
        ok=not first,
        first_failure=first,
        reason="broken" if first else "",
        timestamp=state_of_stamps(seals.refs),
        seals=tuple(seals.refs),
        unsealed=_unsealed(contents, seals),
        unregistered=artefacts.unregistered,
        warnings=(*artefacts.warnings, *_key_warnings(seals, trust), *seals.warnings, *loose),
    )


class _Artefacts:
    """The bytes of every item against its manifest."""

    def __init__(self, reader: CaseReader, contents: CaseContents, progress: Progress) -> None:
        self._reader, self._progress = reader, progress
        self._items = [manifest.item for manifest in contents.manifests.links]
        self._total, self._done = sum(item.size for item in self._items if item.storage), 0
        self.warnings: list[str] = []
        self.listing_failure = ""
        self._kept = self._list()
        known = {item.evidence_id for item in self._items}
        strangers = (kept for kept in (self._kept or {}).values() if kept.evidence_id not in known)
        self.unregistered = tuple(f"{kept.evidence_id}/{kept.name}" for kept in strangers)

    def check(self) -> dict[str, str]:
        """Why items do not hold, by id."""
        found = {item.evidence_id: self._failure(item) for item in self._items}
        return {evidence_id: failure for evidence_id, failure in found.items() if failure}

    def _list(self) -> dict[str, Kept] | None:
        """What lies there, by id; None where something lies there that can't be told apart."""
        try:
            return {kept.evidence_id: kept for kept in self._reader.artefacts()}
        except VaultMismatch as error:
            self.listing_failure = f"artefacts: {error.summary}"
            return None

    def _failure(self, item: CollectedItem) -> str:
        if item.storage is None:
            return ""
        kept = self._kept.get(item.evidence_id) if self._kept is not None else None
        if kept is None and self._kept is not None:
            return f"{item.evidence_id}: expected artefacts/{item.evidence_id}@{item.name}, found nothing"
        return (kept and _other_shape(item, kept)) or self._other_bytes(item, item.storage)

    def _other_bytes(self, item: CollectedItem, storage: Storage) -> str:
        try:
            found = self._digest(self._reader.read(item.evidence_id))
        except VaultMissing:
            return f"{item.evidence_id}: expected artefacts/{item.evidence_id}@{item.name}, found nothing"
        except (VaultKeyRefused, VaultMismatch) as error:
            return self._other_stored(item, storage, error.summary)
        return "" if found == item.sha256 else f"{item.evidence_id}: expected sha256 {item.sha256}, found {found}"

    def _other_stored(self, item: CollectedItem, storage: Storage, why: str) -> str:
        """Bytes that can't be decrypted here, against the checksum that the vault gave of them as they are stored."""
        other = why if why.startswith(f"{item.evidence_id}: ") else f"{item.evidence_id}: {why}"
        if not storage.encryption or not isinstance(self._reader, DirectoryCase) or self._kept is None:
            return other
        found = sha256_of(self._reader.path(item.evidence_id))
        if found != storage.checksum:
            return f"{item.evidence_id}: expected stored sha256 {storage.checksum}, found {found}"
        self.warnings.append(f"{item.evidence_id} was checked as it is stored, encrypted: {why}")
        return ""

    def _digest(self, chunks: Iterator[bytes]) -> str:
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            self._done += len(chunk)
            self._progress(self._done, self._total)
        return digest.hexdigest()


def _other_shape(item: CollectedItem, kept: Kept) -> str:
    if kept.name != item.name:
        return f"{item.evidence_id}: expected the name {item.name}, found {kept.name}"
    return "" if kept.size == item.size else f"{item.evidence_id}: expected {item.size} bytes, found {kept.size}"


def _custody_failures(contents: CaseContents) -> Iterator[str]:
    """Items that nobody is on record to have collected, and events that contradict the manifests."""
    items = {manifest.item.evidence_id: manifest.item for manifest in contents.manifests.links}
    collected = {event.evidence_id for event in contents.custody.links if event.action == "collect"}
    for evidence_id in items:
        if evidence_id not in collected:
            yield f"{evidence_id}: expected a custody event of its collection, found none"
    if contents.manifests.failure:
        return  # what is not known here may be known behind the break
    for number, event in enumerate(contents.custody.links, start=1):
        if event.evidence_id is None:
            continue
        path, item = contents.custody.path(number), items.get(event.evidence_id)
        if item is None:
            yield f"{path}: tells of {event.evidence_id}, which no manifest names"
        elif {event.hash_before, event.hash_after} - {None, item.sha256}:
            other = event.hash_after if event.hash_after not in {None, item.sha256} else event.hash_before
            yield f"{path}: {event.evidence_id} had sha256 {other} then, its manifest says {item.sha256}"


def _end_failures(chain: Chain[Link], case_id: str, end: tuple[int, str] | None) -> Iterator[str]:
    """What the head says of a chain against the chain."""
    found = len(chain.links)
    if any(link.case_id != case_id for link in chain.links):
        yield f"{chain.folder}: expected case {case_id} only, found another one's"
    if end is None or chain.failure:
        return
    if end[0] > found:
        yield f"{chain.path(found + 1)}: missing, head.json says there are {end[0]}, found {found}"
    elif end[0] < found:
        yield f"{chain.path(end[0] + 1)}: head.json says there are {end[0]}, found {found}"
    elif end[1] != chain.head:
        yield f"{chain.path(found)}: expected sha256 {end[1]} as head.json says, found {chain.head}"


def _unsealed(contents: CaseContents, seals: CheckedSeals) -> int:
    links = len(contents.manifests.links) + len(contents.custody.links)
    covered = seals.last.predicate if seals.last else None
    return links - (covered.manifests.length + covered.custody.length if covered else 0)


def _key_warnings(seals: CheckedSeals, trust: Trust) -> Iterator[str]:
    if not trust.given:
        for keyid in sorted({ref.keyid for ref in seals.refs}):
            yield (
                f"Seals were checked with a key that came with them. Compare its fingerprint with what you were "
                f"told by another way: {keyid}"
            )
