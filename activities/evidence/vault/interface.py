"""What a vault can do, whichever it is: the one interface between evidence and where its bytes are.

Owns the protocol. A directory (`local`) and a bucket with Object Lock (`s3`) are vaults; nothing outside this folder
knows which. A vault never deletes and never overwrites, writes no custody event (whoever calls does), and hands out
bytes as they were collected, whether or not it keeps them encrypted.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pydantic import Field

from activities.contracts.evidence import EvidenceId, FileName, Retention, Storage
from activities.evidence.vault.layout import Folder, Head
from segmentation.workloads import Frozen

AT_WILL = Retention()


class Kept(Frozen):
    """One artefact as the vault has it."""

    evidence_id: EvidenceId
    name: FileName
    size: int = Field(description="Bytes as collected; what a reader gets.")


class CaseReader(Protocol):
    """What can be read of one case: all that verifying needs, of a vault, a directory or an exported bag."""

    def artefacts(self) -> list[Kept]:
        """Every artefact that there is, registered or not, by id."""

    def read(self, evidence_id: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes as collected, from `start`; raises VaultMissing, and VaultMismatch where decryption fails."""

    def documents(self, folder: Folder) -> list[str]:
        """Names in a folder, sorted, which is the order of a chain."""

    def document(self, folder: Folder, name: str) -> bytes:
        """One document; raises VaultMissing."""

    def head(self) -> Head | None:
        """How long the chains are; None: the case has none yet. Raises VaultMismatch where it can't be read."""


class Vault(Protocol):
    """Where evidence is kept. Safe for threads and for several processes."""

    @property
    def uri(self) -> str:
        """What people call it: `file:///...` or `s3://bucket/prefix`."""

    def put_stream(
        self,
        case_id: str,
        evidence_id: str,
        name: str,
        chunks: Iterable[bytes],
        *,
        sha256: str,
        size: int | None = None,
    ) -> Storage:
        """Keep one artefact; the same bytes again are no change. Nothing is kept of what is not as announced."""

    def put_file(self, case_id: str, evidence_id: str, name: str, path: Path, *, sha256: str) -> Storage:
        """The same from a file on the vault's own disk, whose digest the caller has computed; it may be linked."""

    def put_document(self, case_id: str, folder: Folder, name: str, content: bytes) -> str:
        """Keep a manifest, a custody event, a seal or a report; its URI. The same bytes again are no change."""

    def put_head(self, head: Head) -> None:
        """Replace the head as a whole. The caller holds the case's lock."""

    def locked(self, case_id: str) -> AbstractContextManager[None]:
        """Order the writers of one case's chains."""

    def case(self, case_id: str) -> CaseReader:
        """What the vault holds of a case; an unknown case is empty."""

    def find(self, case_id: str, evidence_id: str) -> Kept:
        """One artefact; raises VaultMissing."""

    def digest(self, case_id: str, evidence_id: str) -> str:
        """Of an artefact's bytes as collected, as noted when they were taken; raises VaultMissing.

        Where it is encrypted, the key vouches for the note. The bytes themselves are not read.
        """

    def retain(self, case_id: str, evidence_id: str, retention: Retention) -> Storage:
        """Keep it so at least; a retention is never shortened. Raises VaultDenied where the vault can't."""

    def hold(self, case_id: str, evidence_id: str, *, on: bool) -> Storage:
        """Legal hold on or off."""

    def retain_case(self, case_id: str, retention: Retention) -> None:
        """Keep its documents and its head so at least: without them its artefacts prove nothing. As `retain`."""

    def hold_case(self, case_id: str, *, on: bool) -> None:
        """Legal hold on its documents and its head, on or off."""
