"""What a directory can't do by itself: remember how long an artefact is to be kept, and whether it is held.

Owns `storage/` of a case: the vault's word about each artefact, one document for each change, the last one counts.
The same for the case's documents and head together. Nothing here is enforced by a directory, and `lock_mode` stays
`write-once`.

    records.latest(evidence_id)     # -> Storage | None
"""

from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.layout import SEPARATOR, artefact_prefix
from activities.evidence.vault.writing import Drafts, make_folder, place
from playbooks.canonical import canonical
from segmentation.workloads import Frozen

Record = TypeVar("Record", bound=Frozen)
FOLDER = "storage"
# No evidence id can be empty.
_CASE = SEPARATOR


class CaseTerms(Frozen):
    """How long the documents and the head of a case are to be kept, and whether they are held."""

    retain_until: datetime | None = None
    legal_hold: bool = False


class StorageRecords:
    """The records of one case; the caller holds the case's lock of artefacts."""

    def __init__(self, case_folder: Path, drafts: Drafts) -> None:
        self._folder, self._drafts = case_folder / FOLDER, drafts

    def latest(self, evidence_id: str) -> Storage | None:
        """How an artefact is kept now.

        Raises:
            VaultMismatch: the record can't be read.
        """
        return self._last(artefact_prefix(evidence_id), Storage)

    def write(self, evidence_id: str, storage: Storage) -> None:
        """One more record."""
        self._write(artefact_prefix(evidence_id), storage)

    def case(self) -> CaseTerms:
        """How the case itself is to be kept now; raises as `latest`."""
        return self._last(_CASE, CaseTerms) or CaseTerms()

    def change_case(self, change: dict[str, object]) -> None:
        """Record a change of that; none is none."""
        before = self.case()
        after = before.model_copy(update=change)
        if after != before:
            self._write(_CASE, after)

    def _last(self, prefix: str, kind: type[Record]) -> Record | None:
        found = self._of(prefix)
        if not found:
            return None
        try:
            return kind.model_validate_json(found[-1].read_bytes())
        except ValidationError as error:
            raise VaultMismatch(
                f"{FOLDER}/{found[-1].name} can't be read: {str(error).splitlines()[0]}", hint="It was altered."
            ) from error

    def _write(self, prefix: str, record: Frozen) -> None:
        make_folder(self._folder)
        target = self._folder / f"{prefix}{len(self._of(prefix)) + 1:06d}.json"
        with self._drafts.begin() as draft:
            draft.write([canonical(record)])
            place(draft.path, target)

    def _of(self, prefix: str) -> list[Path]:
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(path for path in found if path.name.startswith(prefix))


def later(kept: Storage | CaseTerms | None, retention: Retention) -> dict[str, object]:
    """What a retention changes of how something is kept: its end, and only ever to a later one."""
    known = kept.retain_until if kept else None
    if retention.until is None or (known is not None and known >= retention.until):
        return {}
    return {"retain_until": retention.until}
