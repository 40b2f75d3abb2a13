"""Where things are in a vault's directory.

Owns names and folders: the vault writes by them, the offline verifier reads by them. Never touches a file.

    case_folder(root, "inc-1") / "artefacts" / artefact_name("web.ring-01", "ring-01.pcapng")
    # -> root/case/inc-1/artefacts/web.ring-01@ring-01.pcapng
"""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from activities.contracts.evidence import EvidenceId, FileName, Sha256
from activities.evidence.errors import VaultMismatch, VaultRefused
from segmentation.workloads import Frozen, Name

Folder = Literal["artefacts", "manifests", "custody", "documents", "seals", "keys"]
FOLDERS: tuple[Folder, ...] = ("artefacts", "manifests", "custody", "documents", "seals", "keys")
HEAD_FILE = "head.json"
GENESIS = "0" * 64
# Neither an id nor a file name may hold it, so that no two items can spell the same path.
SEPARATOR = "@"
# Ends the name of an artefact that is kept encrypted; no name can end so by itself.
ENCRYPTED = SEPARATOR + "enc"
_HOST_NAME_LENGTH, _HOST_MARK_LENGTH = 40, 12
MAX_FILE_NAME_BYTES = 255  # NAME_MAX, limits.h
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_EVIDENCE_ID: TypeAdapter[str] = TypeAdapter(EvidenceId)
_FILE_NAME: TypeAdapter[str] = TypeAdapter(FileName)
_DOCUMENT_FILE_NAME: TypeAdapter[str] = TypeAdapter(
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,254}$")]
)


class Head(Frozen):
    """How long the chains of a case are and where they end; what a seal signs."""

    schema_: Literal["firebreak/head/1"] = Field(default="firebreak/head/1", alias="schema")
    case_id: Name
    manifests: int = Field(ge=0)
    manifest_head: Sha256
    custody: int = Field(ge=0)
    custody_head: Sha256


def case_folder(root: Path, case_id: str) -> Path:
    """The folder of a case.

    Raises:
        VaultRefused: the id is not a name; nothing with a slash, a leading dot or a NUL is one.
    """
    return root / "case" / _checked(_NAME, case_id, "case id")


def case_key(case_id: str) -> str:
    """How the keys of a case begin in a bucket; raises VaultRefused."""
    return f"case/{_checked(_NAME, case_id, 'case id')}"


def host_prefix(host: str, host_id: str) -> str:
    """How the evidence ids of a host begin, and no other's: readable, and what its uploads are held to.

    Its only dot ends it: a host of a shorter name can't spell another's with a label of its own.
    """
    mark = sha256(host_id.encode()).hexdigest()[:_HOST_MARK_LENGTH]
    return f"{host[:_HOST_NAME_LENGTH].replace('.', '-')}-{mark}."


def artefact_prefix(evidence_id: str) -> str:
    """How the file name of an item begins, and no other's."""
    return _checked(_EVIDENCE_ID, evidence_id, "evidence id") + SEPARATOR


def artefact_name(evidence_id: str, name: str) -> str:
    """The file name of an item."""
    whole = artefact_prefix(evidence_id) + document_name(name)
    if len(whole + ENCRYPTED) > MAX_FILE_NAME_BYTES:
        longest = MAX_FILE_NAME_BYTES - len(ENCRYPTED)
        raise VaultRefused(
            f"{evidence_id} with {name} is {len(whole)} characters, expected {longest} at most.",
            hint="Shorten the evidence id.",
        )
    return whole


def parse_artefact_name(file_name: str) -> tuple[str, str, bool]:
    """Evidence id, name, and whether it is kept encrypted, of what `artefact_name` made.

    Raises:
        VaultMismatch: nothing of ours is called so.
    """
    encrypted = file_name.endswith(ENCRYPTED)
    evidence_id, _, name = file_name.removesuffix(ENCRYPTED).partition(SEPARATOR)
    try:
        return _EVIDENCE_ID.validate_python(evidence_id), _FILE_NAME.validate_python(name), encrypted
    except ValidationError as error:
        raise VaultMismatch(
            f"artefacts/{file_name!r} is no name of an artefact: {error.errors()[0]['msg']}.",
            hint="Somebody else put it there.",
        ) from error


def document_name(name: str) -> str:
    """The name of a document as it may stand in the vault."""
    return _checked(_FILE_NAME, name, "file name")


def document_file_name(name: str) -> str:
    """The file name of a document or a link of a chain, as it may stand in a folder of a case."""
    return _checked(_DOCUMENT_FILE_NAME, name, "name of a document")


def chained_name(seq: int, key: str) -> str:
    """The file name of a link of a chain; sorts by its place."""
    return f"{seq:06d}{SEPARATOR}{_checked(_NAME, key, 'id')}.json"


def _checked(kind: TypeAdapter[str], value: str, what: str) -> str:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise VaultRefused(
            f"{value[:64]!r} is no {what}: {error.errors()[0]['msg']}.",
            hint="Names have letters, digits, dot, dash and underscore, and begin with a letter or digit.",
        ) from error
