"""Whether the seals of a case hold: each one's signature, what it says, and the time it was stamped with.

Owns the judgement of the folder `seals`. Needs no network and no ledger: keys and roots are brought, or come with the
case and are named.

    seals = check_seals(contents, Trust())
    seals.failures, seals.refs, seals.warnings
"""

import itertools
from dataclasses import dataclass, field
from hashlib import sha256

from activities.contracts.custody import SealRef
from activities.evidence.contents import CaseContents
from activities.evidence.errors import SealBroken
from activities.evidence.sealing.envelope import OpenedSeal, check_signature, open_envelope
from activities.evidence.sealing.keys import SealKey, read_key
from activities.evidence.sealing.names import (
    envelope_name,
    key_name,
    seal_event_id,
    sort_out,
    timestamp_event_id,
)
from activities.evidence.sealing.stamps import SignedSeal, Stamp, brought_stamp, kept_stamp
from activities.evidence.sealing.statement import Statement, build_statement, documents_of
from activities.evidence.sealing.timestamps import is_about
from activities.evidence.sealing.trust import Trust


@dataclass
class CheckedSeals:
    """What was found, in the order in which a reader should look."""

    refs: list[SealRef] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    last: Statement | None = None
    documents: dict[str, str] = field(default_factory=dict)
    """Digests of all that any seal vouches for, by name: what was sealed once stays so."""


def check_seals(contents: CaseContents, trust: Trust) -> CheckedSeals:
    """Every seal, its timestamp, the keys beside them, and the documents that they vouch for."""
    check = _Check(contents, trust)
    check.seals()
    check.strangers()
    check.documents()
    return check.found


def check_envelopes(contents: CaseContents, trust: Trust) -> CheckedSeals:
    """Every envelope, by a key that was brought and no other, and the documents; timestamps are left out."""
    check = _Check(contents, trust, brought_only=True)
    check.seals()
    check.documents()
    return check.found


class _Check:
    """One case's seals; stops at the first envelope that does not hold, as each vouches for the one before."""

    def __init__(self, contents: CaseContents, trust: Trust, *, brought_only: bool = False) -> None:
        self._contents, self._trust, self._brought_only = contents, trust, brought_only
        self._files, self.found = sort_out(list(contents.seals)), CheckedSeals()
        self._told = {event.event_id: event for event in contents.custody.links if event.action == "seal"}
        self._keys = self._read_keys() | dict(trust.keys)

    def seals(self) -> None:
        """In their order."""
        previous: str | None = None
        for number in range(1, self._count() + 1):
            name = self._files.envelopes.get(number)
            if name is None:
                self._fails(f"{number:06d}", "expected an envelope of this number, found none")
                break
            content = self._contents.seals[name]
            try:
                opened = open_envelope(content)
                _check_statement(self._contents, opened.statement, name, number, previous)
                _check_key(opened, self._keys, self._trust, brought_only=self._brought_only)
            except SealBroken as error:
                self._fails(name, error.summary)
                break
            previous, self.found.last = sha256(content).hexdigest(), opened.statement
            for document, digest in documents_of(opened.statement).items():
                self.found.documents.setdefault(document, digest)
            self.found.refs.append(self._stamped(opened, content))
        for name in self._files.strangers:
            self._fails(name, "expected no such file")

    def documents(self) -> None:
        """Those that any seal vouches for, as the first one did."""
        for name, digest in self.found.documents.items():
            here = self._contents.documents.get(name)
            if here != digest:
                what = f"sha256 {here}" if here else "nothing"
                failure = f"documents/{name}: expected sha256 {digest} as it was sealed, found {what}"
                self.found.failures.append(failure)

    def _fails(self, name: str, why: str) -> None:
        self.found.failures.append(f"seals/{name}: {why}")

    def _count(self) -> int:
        """How many seals there must be: as many as the custody chain tells of, or as there are files."""
        told = itertools.takewhile(lambda number: seal_event_id(number) in self._told, itertools.count(1))
        return max([*told, *self._files.envelopes, *self._files.timestamps], default=0)

    def _read_keys(self) -> dict[str, SealKey]:
        """The keys that came with the case."""
        keys: dict[str, SealKey] = {}
        for name, content in self._contents.keys.items():
            try:
                key = read_key(content, f"keys/{name}")
            except SealBroken as error:
                self.found.failures.append(error.summary)
                continue
            if name != key_name(key.keyid):
                self.found.failures.append(f"keys/{name}: expected the name {key_name(key.keyid)}")
            keys[key.keyid] = key
        return keys

    def _stamped(self, opened: OpenedSeal, content: bytes) -> SealRef:
        """One seal and all that is known of its time."""
        said = opened.statement.predicate
        ref = SealRef(
            number=said.number,
            manifests=said.manifests.length,
            custody=said.custody.length,
            keyid=opened.keyid,
            sealed_at=said.sealed_at,
            timestamp="pending" if said.timestamp == "asked" else "none",
        )
        if self._brought_only:
            return ref
        try:
            stamp = self._stamp(SignedSeal(said, content))
        except SealBroken as error:
            self._fails(self._files.timestamps.get(said.number, f"{said.number:06d}"), error.summary)
            return ref.model_copy(update={"timestamp": "wrong"})
        if stamp is None:
            return ref
        if not self._trust.roots:
            told = f"The timestamp of seal {said.number} was not held against the root certificate of its authority."
            self.found.warnings.append(told)
        self.found.warnings += stamp.warnings
        return ref.model_copy(update={"timestamp": "held", "timestamp_at": stamp.at})

    def _stamp(self, seal: SignedSeal) -> Stamp | None:
        """That of the case, and where it has none one that was brought; None: not yet."""
        name, told = self._files.timestamps.get(seal.said.number), self._told.get(timestamp_event_id(seal.said.number))
        kept = (name, self._contents.seals[name]) if name else None
        stamp = kept_stamp(seal, kept, told, self._trust.roots)
        return brought_stamp(seal, self._trust.timestamps, self._trust.roots) if stamp is None else stamp

    def strangers(self) -> None:
        """Timestamps that were brought, and are of none of these seals."""
        for label, answer in self._trust.timestamps.items():
            if not any(is_about(answer, envelope) for envelope in self._contents.seals.values()):
                self.found.failures.append(f"{label}: expected a timestamp of a seal of this case, found none")


def _check_key(opened: OpenedSeal, keys: dict[str, SealKey], trust: Trust, *, brought_only: bool) -> None:
    if (trust.given or brought_only) and opened.keyid not in trust.keys and opened.keyid not in trust.fingerprints:
        raise SealBroken(f"is signed with the key {opened.keyid}, which is none of those that you gave")
    if opened.keyid not in keys:
        raise SealBroken(f"is signed with the key {opened.keyid}, which is not there")
    check_signature(opened, keys[opened.keyid])


def _check_statement(
    contents: CaseContents, statement: Statement, name: str, number: int, previous: str | None
) -> None:
    """Raise SealBroken unless the statement says what the chains say."""
    said = statement.predicate
    for what, end, chain in (
        ("manifests", said.manifests, contents.manifests),
        ("custody", said.custody, contents.custody),
    ):
        if end.length > len(chain.links):
            raise SealBroken(
                f"covers {end.length} {what}, found {len(chain.links)}: {chain.path(len(chain.links) + 1)} is missing"
            )
        if chain.hash_at(end.length) != end.head:
            raise SealBroken(
                f"expected {chain.path(end.length)} to have sha256 {end.head}, found {chain.hash_at(end.length)}"
            )
    if not said.custody.length or name != envelope_name(number, said.custody.head):
        raise SealBroken(f"expected the name {envelope_name(number, said.custody.head)}")
    _check_told(contents, statement, number)
    expected = build_statement(
        contents.manifests.links[: said.manifests.length],
        contents.custody.links[: said.custody.length],
        number=number,
        previous=previous,
        documents=documents_of(statement),
        timestamp=said.timestamp,
    )
    if expected != statement:
        raise SealBroken(_difference(expected, statement))


def _check_told(contents: CaseContents, statement: Statement, number: int) -> None:
    """The custody event that a seal ends with tells of this seal."""
    said = statement.predicate
    told = contents.custody.links[said.custody.length - 1]
    if told.event_id != seal_event_id(number) or told.action != "seal" or told.hash_after != said.manifests.head:
        raise SealBroken(f"expected {contents.custody.path(said.custody.length)} to tell of it, found {told.event_id}")


def _difference(expected: Statement, found: Statement) -> str:
    """The first thing in which a statement is not what the chains say."""
    ours = {subject.name: subject.digest.sha256 for subject in expected.subject}
    theirs = {subject.name: subject.digest.sha256 for subject in found.subject}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            return f"says {theirs.get(name)} of {name}, the manifests say {ours.get(name)}"
    for name in type(expected.predicate).model_fields:
        mine, yours = getattr(expected.predicate, name), getattr(found.predicate, name)
        if mine != yours:
            return f"expected {name} {mine}, found {yours}"
    return "does not name its subjects in their order"
