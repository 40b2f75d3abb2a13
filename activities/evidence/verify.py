"""Verifying a case from its directory alone: no ledger, no network, no service of ours.

Owns recomputing every hash and both chains, and naming the first thing that does not hold. Reads only. What
it can't know: whether somebody who could rewrite the whole directory did so, head included; a seal over the
head tells that.

    verify_case_directory(Path("case/inc-1"))   # -> CaseVerdict(items=9, verified=9, ok=True)
"""

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from activities.contracts.evidence import CaseVerdict, CollectedItem, CustodyEvent, Manifest
from activities.evidence.vault.layout import GENESIS, HEAD_FILE, SEPARATOR, Head, artefact_name, chained_name
from activities.evidence.vault.writing import sha256_of
from playbooks.canonical import canonical

Link = TypeVar("Link", Manifest, CustodyEvent)


@dataclass(frozen=True)
class Chain(Generic[Link]):
    """What could be read of a chain, in order, until the first thing that does not hold."""

    links: tuple[Link, ...]
    head: str
    failure: str = ""


def verify_case_directory(case_dir: Path) -> CaseVerdict:
    """Every hash and both chains of a case; `first_failure` is what a reader should look at first."""
    manifests = _chain(case_dir / "manifests", Manifest, _manifest_place)
    events = _chain(case_dir / "custody", CustodyEvent, _event_place)
    broken = [(manifest.item.evidence_id, _artefact(case_dir, manifest.item)) for manifest in manifests.links]
    failures = [
        manifests.failure,
        *(failure for _, failure in broken),
        events.failure,
        *_head_failures(case_dir, manifests, events),
        *_custody_gaps(manifests.links, events.links),
    ]
    first = next((failure for failure in failures if failure), "")
    return CaseVerdict(
        items=len(manifests.links),
        verified=sum(not failure for _, failure in broken),
        ok=not first,
        first_failure=first,
        unregistered=_unregistered(case_dir, manifests.links),
    )


def _chain(folder: Path, kind: type[Link], place: Callable[[Link, int, str], str]) -> Chain[Link]:
    links: list[Link] = []
    head = GENESIS
    for seq, path in enumerate(sorted(folder.glob("*.json")), start=1):
        link, failure = _link(path, kind)
        failure = failure or (place(link, seq, head) if link is not None else "")
        if link is None or failure:
            return Chain(tuple(links), head, f"{folder.name}/{path.name}: {failure}")
        if path.name != chained_name(seq, _key(link)):
            found = f"{folder.name}/{path.name}: expected the name {chained_name(seq, _key(link))}"
            return Chain(tuple(links), head, found)
        links.append(link)
        head = sha256(canonical(link)).hexdigest()
    return Chain(tuple(links), head)


def _link(path: Path, kind: type[Link]) -> tuple[Link | None, str]:
    try:
        content = path.read_bytes()
        link = kind.model_validate_json(content)
    except (OSError, ValidationError) as error:
        return None, f"can't be read as a {kind.__name__}: {str(error).splitlines()[0]}"
    if canonical(link) != content:
        return None, "is not in the canonical form in which it was hashed"
    return link, ""


def _key(link: Manifest | CustodyEvent) -> str:
    return link.item.evidence_id if isinstance(link, Manifest) else link.event_id


def _manifest_place(manifest: Manifest, seq: int, head: str) -> str:
    if manifest.seq != seq:
        return f"expected place {seq} of the chain, found {manifest.seq}"
    return _continues(manifest.prev_hash, head)


def _event_place(event: CustodyEvent, _seq: int, head: str) -> str:
    return _continues(event.prev_event_hash, head)


def _continues(prev_hash: str, head: str) -> str:
    return "" if prev_hash == head else f"expected to continue {head}, found {prev_hash}"


def _artefact(case_dir: Path, item: CollectedItem) -> str:
    """Why the bytes of an item are not what its manifest says; empty when they are."""
    if item.storage is None:
        return ""
    path = case_dir / "artefacts" / artefact_name(item.evidence_id, item.name)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return f"{item.evidence_id}: expected artefacts/{path.name}, found nothing"
    if not stat.S_ISREG(found.st_mode):
        return f"{item.evidence_id}: expected a file, found something else at artefacts/{path.name}"
    if found.st_size != item.size:
        return f"{item.evidence_id}: expected {item.size} bytes, found {found.st_size}"
    digest = sha256_of(path)
    if digest != item.sha256:
        return f"{item.evidence_id}: expected sha256 {item.sha256}, found {digest}"
    return ""


def _head_failures(case_dir: Path, manifests: Chain[Manifest], events: Chain[CustodyEvent]) -> Iterator[str]:
    try:
        head = Head.model_validate_json((case_dir / HEAD_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        yield f"{HEAD_FILE}: can't be read: {str(error).splitlines()[0]}"
        return
    if head.case_id != case_dir.name:
        yield f"{HEAD_FILE}: expected case {case_dir.name}, found {head.case_id}"
    for what, count, end, chain in (
        ("manifests", head.manifests, head.manifest_head, manifests),
        ("custody", head.custody, head.custody_head, events),
    ):
        if count != len(chain.links):
            yield f"{what}: expected {count} as the head says, found {len(chain.links)}"
        if end != chain.head:
            yield f"{what}: expected to end with {end} as the head says, found {chain.head}"
        if any(link.case_id != case_dir.name for link in chain.links):
            yield f"{what}: expected case {case_dir.name} only, found another one's"


def _custody_gaps(manifests: Sequence[Manifest], events: Sequence[CustodyEvent]) -> Iterator[str]:
    """Items that nobody is on record to have collected."""
    known = {event.evidence_id for event in events if event.action == "collect"}
    for manifest in manifests:
        if manifest.item.evidence_id not in known:
            yield f"{manifest.item.evidence_id}: expected a custody event of its collection, found none"


def _unregistered(case_dir: Path, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    named = {artefact_name(m.item.evidence_id, m.item.name) for m in manifests}
    folder = case_dir / "artefacts"
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return tuple(name.replace(SEPARATOR, "/", 1) for name in found if name not in named)
