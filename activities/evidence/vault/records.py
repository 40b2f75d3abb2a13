"""What a directory can't do by itself: remember how long an artefact is to be kept, and whether it is held.

Owns `storage/` of a case: the vault's word about each artefact, one document for each change, the last one counts.
Nothing here is enforced by a directory, and `lock_mode` stays `write-once`.

    records.latest(evidence_id)     # -> Storage | None
"""

from pathlib import Path

from pydantic import ValidationError

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.layout import artefact_prefix
from activities.evidence.vault.writing import Drafts, make_folder, place
from playbooks.canonical import canonical

FOLDER = "storage"


class StorageRecords:
    """The records of one case; the caller holds the case's lock of artefacts."""

    def __init__(self, case_folder: Path, drafts: Drafts) -> None:
        self._folder, self._drafts = case_folder / FOLDER, drafts

    def latest(self, evidence_id: str) -> Storage | None:
        """How an artefact is kept now.

        Raises:
            VaultMismatch: the record can't be read.
        """
        found = self._of(evidence_id)
        if not found:
            return None
        try:
            return Storage.model_validate_json(found[-1].read_bytes())
        except ValidationError as error:
            raise VaultMismatch(
                f"{FOLDER}/{found[-1].name} can't be read: {str(error).splitlines()[0]}", hint="It was altered."
            ) from error

    def write(self, evidence_id: str, storage: Storage) -> None:
        """One more record."""
        make_folder(self._folder)
        target = self._folder / f"{artefact_prefix(evidence_id)}{len(self._of(evidence_id)) + 1:06d}.json"
        with self._drafts.begin() as draft:
            draft.write([canonical(storage)])
            place(draft.path, target)

    def _of(self, evidence_id: str) -> list[Path]:
        prefix = artefact_prefix(evidence_id)
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(path for path in found if path.name.startswith(prefix))


def later(storage: Storage | None, retention: Retention) -> dict[str, object]:
    """What a retention changes of how something is kept: its end, and only ever to a later one."""
    known = storage.retain_until if storage else None
    if retention.until is None or (known is not None and known >= retention.until):
        return {}
    return {"retain_until": retention.until}
