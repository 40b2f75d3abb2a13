"""What arrives: whose upload of what it is, and whether it is what the vault has already.

Owns that comparison, by the digest that the vault noted: nothing that is kept is read as a whole for it.

    same_as_kept(vault, place, vault.find(case_id, evidence_id), offset, sha256)    # -> Storage
"""

import hashlib

from pydantic import Field

from activities.contracts.evidence import EvidenceId, FileName, Storage
from activities.evidence.errors import UploadElsewhere, VaultConflict
from activities.evidence.vault.interface import AT_WILL, Kept, Vault
from playbooks.canonical import canonical
from segmentation.workloads import Frozen, Name


class Place(Frozen):
    """Whose upload, of what. Another size is another upload: the file was written on meanwhile."""

    host_id: Name
    case_id: Name
    evidence_id: EvidenceId
    name: FileName
    size: int | None = Field(default=None, ge=0, description="None: as much as comes in the one request.")

    @property
    def host(self) -> str:
        """How the file names of its host begin."""
        return hashlib.sha256(self.host_id.encode()).hexdigest()[:16]

    @property
    def key(self) -> str:
        """A file name for it."""
        return self.host + hashlib.sha256(canonical(self)).hexdigest()


def same_as_kept(vault: Vault, place: Place, kept: Kept, offset: int, sha256: str) -> Storage:
    """Where it is kept, if `sha256` is of all of it.

    Raises:
        UploadElsewhere: it may be; from there that can be proved.
        VaultConflict: it is something else.
    """
    if kept.name == place.name and place.size in (None, kept.size):
        if vault.digest(place.case_id, place.evidence_id) == sha256:
            return vault.retain(place.case_id, place.evidence_id, AT_WILL)
        if place.size is not None and offset != kept.size:
            raise UploadElsewhere("It may be in the vault.", offset=kept.size, hint="Send the digest of it all.")
    raise VaultConflict(
        f"{place.evidence_id} is kept as {kept.name} with {kept.size} bytes, and something else came again.",
        hint="Nothing is ever overwritten: give the new bytes an id of their own.",
    )
