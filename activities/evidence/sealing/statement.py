"""What a seal says: an in-toto Statement (v1) about every item of a case and both its chains.

Owns its shape, and building it from the chains. It follows from the chains and the documents alone, without a clock,
so that whoever has them can say what a seal of theirs must be. Signs nothing.

    statement = build_statement(manifests, custody, number=1, previous=None, documents={}, timestamp="none")
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

from pydantic import ConfigDict, Field

from activities.contracts.custody import CustodyEvent, Manifest
from activities.contracts.evidence import OutcomeState, Sha256
from activities.evidence.vault.layout import GENESIS
from playbooks.canonical import canonical
from playbooks.forensics import Tlp
from segmentation.workloads import Frozen, Name

# https://in-toto.io/Statement/v1 (in-toto attestation framework, spec/v1/statement.md).
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:firebreak:evidence-seal:v1"
# No evidence id has a slash: these can't be taken for items.
MANIFESTS, CUSTODY, DOCUMENTS = "chains/manifests", "chains/custody", "documents/"
Asked = Literal["none", "asked"]


class Digests(Frozen):
    """The digests of a subject."""

    sha256: Sha256


class Subject(Frozen):
    """One thing that is vouched for: an item by its id, a chain, or a document."""

    name: str
    digest: Digests


class ChainEnd(Frozen):
    """How long a chain was and where it ended."""

    length: int = Field(ge=0)
    head: Sha256


class Absent(Frozen):
    """An item of which there are no bytes, and why."""

    evidence_id: Name
    outcome: OutcomeState
    reason: str


class SealPredicate(Frozen):
    """What is said of the case as a whole."""

    case_id: Name
    number: int = Field(ge=1)
    sealed_at: datetime
    tlp: Tlp = Field(description="The strictest of any item.")
    manifests: ChainEnd
    custody: ChainEnd = Field(description="Its last event is the one that tells of this seal.")
    without_bytes: tuple[Absent, ...]
    previous: Sha256 | None = Field(description="Of the envelope of the seal before.")
    timestamp: Asked = Field(description="Whether a time-stamping authority was configured.")


class Statement(Frozen):
    """The whole statement; its canonical form (RFC 8785) is the payload that is signed."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:firebreak:evidence-seal:v1"] = Field(
        default="urn:firebreak:evidence-seal:v1", alias="predicateType"
    )
    predicate: SealPredicate


def build_statement(
    manifests: Sequence[Manifest],
    custody: Sequence[CustodyEvent],
    *,
    number: int,
    previous: str | None,
    documents: Mapping[str, str],
    timestamp: Asked,
) -> Statement:
    """The statement whose seal the last of these custody events tells of; `documents` are digests by name."""
    told = custody[-1]
    ends = ChainEnd(length=len(manifests), head=_head(manifests)), ChainEnd(length=len(custody), head=_head(custody))
    named = {m.item.evidence_id: m.item.sha256 for m in manifests if m.item.storage is not None}
    named |= {DOCUMENTS + name: digest for name, digest in documents.items()}
    named |= {MANIFESTS: ends[0].head, CUSTODY: ends[1].head}
    return Statement(
        subject=tuple(
            Subject(name=name, digest=Digests(sha256=digest)) for name, digest in sorted(named.items()) if digest
        ),
        predicate=SealPredicate(
            case_id=told.case_id,
            number=number,
            sealed_at=told.at,
            tlp=strictest([manifest.tlp for manifest in manifests]),
            manifests=ends[0],
            custody=ends[1],
            without_bytes=tuple(_absent(m) for m in manifests if m.item.storage is None),
            previous=previous,
            timestamp=timestamp,
        ),
    )


def documents_of(statement: Statement) -> dict[str, str]:
    """The documents that it vouches for, by name."""
    return {
        subject.name.removeprefix(DOCUMENTS): subject.digest.sha256
        for subject in statement.subject
        if subject.name.startswith(DOCUMENTS)
    }


def strictest(labels: Sequence[Tlp]) -> Tlp:
    """The label of a whole whose parts have these (Traffic Light Protocol 2.0)."""
    order: tuple[Tlp, ...] = get_args(Tlp)
    return max(labels, key=order.index, default="CLEAR")


def _absent(manifest: Manifest) -> Absent:
    outcome = manifest.item.outcome
    return Absent(evidence_id=manifest.item.evidence_id, outcome=outcome.state, reason=outcome.reason)


def _head(chain: Sequence[Manifest] | Sequence[CustodyEvent]) -> str:
    return sha256(canonical(chain[-1])).hexdigest() if chain else GENESIS
