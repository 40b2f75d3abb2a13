"""Whether a bag is what was exported: its own lists first, then the case in it, then every file against the lists.

Owns the offline check of a bag, for whoever has nothing but it. A bag's lists are signed by nobody: they tell accidents
and which file it was; the seals tell whether the case is what it was.

    verdict = verify_bag(Path("firebreak-inc-1-000002"), Trust.of(fingerprints=["9f86..."]))
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from activities.contracts.custody import CaseVerdict, Manifest
from activities.evidence.contents import read_case
from activities.evidence.errors import SealBroken
from activities.evidence.export.bag import (
    BAG_INFO,
    BAGIT,
    CASE_KEY,
    MANIFEST,
    README,
    TAG_FILES,
    TAG_MANIFEST,
    listing,
    root_name,
)
from activities.evidence.sealing.coverage import Demands, with_stamps
from activities.evidence.sealing.trust import Trust, read_roots
from activities.evidence.vault.directory import DirectoryCase
from activities.evidence.vault.layout import artefact_name
from activities.evidence.vault.writing import sha256_of
from activities.evidence.verify import Progress, judge_case

TOP = {*TAG_FILES, TAG_MANIFEST, "data"}


def is_bag(path: Path) -> bool:
    """Whether it looks like one, or like the rest of one."""
    return any((path / name).exists() for name in TOP - {README})


def verify_bag(path: Path, trust: Trust, *, progress: Progress | None = None, stamps: bool = False) -> CaseVerdict:
    """Everything about a bag; `first_failure` is what a reader should look at first. All of it has to be sealed."""
    reader = DirectoryCase(path / "data")
    contents = read_case(reader)
    failures = list(_tag_failures(path))
    roots, warnings = _carried_roots(path, trust, failures)
    demands = Demands(seal=True, whole=True, stamps=stamps)
    trusted = replace(trust, roots=roots)
    verdict = judge_case(reader, contents, _case_id(path), trusted, progress=progress, demands=demands)
    known = _hashed(reader, contents.manifests.links) if verdict.ok else {}
    failures += [verdict.first_failure, *_payload_failures(path, known)]
    first = next((failure for failure in failures if failure), "")
    update = {"ok": not first, "first_failure": first, "reason": "broken" if first else ""}
    update["warnings"] = (*verdict.warnings, *warnings)
    return with_stamps(verdict.model_copy(update=update), demands)


def _tag_failures(path: Path) -> Iterator[str]:
    for name in sorted(file.name for file in path.iterdir()):
        if name not in TOP:
            yield f"{name}: expected no such file in a bag"
    bagit = _read(path / "bagit.txt")
    if bagit is not None and bagit != BAGIT:
        yield "bagit.txt: is not what RFC 8493 asks for"
    found = {name: hashlib.sha256(content).hexdigest() for name in TAG_FILES if (content := _read(path / name))}
    yield from _against_list(path, TAG_MANIFEST, found)


def _payload_failures(path: Path, known: Mapping[str, str]) -> Iterator[str]:
    found: dict[str, str] = {}
    for file in _files(path / "data"):
        name = file.relative_to(path).as_posix()
        if not stat.S_ISREG(file.lstat().st_mode):
            yield f"{name}: expected a file, found something else"
            continue
        found[name] = known.get(name) or sha256_of(file)
    yield from _against_list(path, MANIFEST, found)


def _against_list(path: Path, name: str, found: Mapping[str, str]) -> Iterator[str]:
    """What a list says against what is there."""
    content = _read(path / name)
    if content is None:
        yield f"{name}: expected one, found nothing"
        return
    said = dict(_lines(content))
    for file in sorted(said.keys() | found.keys()):
        if file not in said:
            yield f"{file}: is not in {name}"
        elif file not in found:
            yield f"{file}: expected by {name}, found nothing"
        elif said[file] != found[file]:
            yield f"{file}: {name} says sha256 {said[file]}, found {found[file]}"
    if content != listing(sorted(found.items())):
        yield f"{name}: is not written as it was exported"


def _lines(content: bytes) -> Iterator[tuple[str, str]]:
    for line in content.decode("utf-8", "backslashreplace").splitlines():
        digest, _, file = line.partition("  ")
        yield file, digest


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in sorted([*files, *links]))


def _read(path: Path) -> bytes | None:
    """A tag file; a link or anything else is none."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


def _case_id(path: Path) -> str:
    for line in (_read(path / BAG_INFO) or b"").decode("utf-8", "backslashreplace").splitlines():
        name, _, value = line.partition(": ")
        if name == CASE_KEY:
            return value
    return ""


def _hashed(reader: DirectoryCase, manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """Digests of the very files that were recomputed a moment ago: no large file is read twice."""
    return {
        f"data/artefacts/{reader.path(m.item.evidence_id).name}": m.item.sha256
        for m in manifests
        if m.item.storage is not None
        and m.item.sha256 is not None
        and reader.path(m.item.evidence_id).name == artefact_name(m.item.evidence_id, m.item.name)
    }


def _carried_roots(path: Path, trust: Trust, failures: list[str]) -> tuple[tuple[x509.Certificate, ...], list[str]]:
    """The roots that were brought; without any, those that came with the bag, each named."""
    carried: list[x509.Certificate] = []
    for file in _files(path / "data" / "tsa"):
        name = f"data/tsa/{file.name}"
        try:
            (root,) = read_roots(_read(file) or b"", name)
        except (SealBroken, ValueError):
            failures.append(f"{name}: can't be read as one certificate in PEM")
            continue
        if file.name != root_name(root) or _read(file) != root.public_bytes(Encoding.PEM):
            failures.append(f"{name}: is not the certificate that it is called by, {root_name(root)}")
        carried.append(root)
    if trust.roots or not carried:
        return trust.roots, []
    told = "Timestamps were checked with a root certificate that came with the bag. Compare its fingerprint: "
    return tuple(carried), [told + root.fingerprint(SHA256()).hex() for root in carried]
