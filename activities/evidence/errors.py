"""What the vault refuses, each with object, expectation and finding. Owns the errors of this folder alone."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class VaultRefused(FirebreakError):
    """A name that can't be a name in the vault."""

    code: ClassVar[str] = "vault-refused"


class VaultMismatch(FirebreakError):
    """Bytes that are not what was announced."""

    code: ClassVar[str] = "vault-mismatch"


class VaultConflict(FirebreakError):
    """An id that is taken by something else."""

    code: ClassVar[str] = "vault-conflict"


class VaultMissing(FirebreakError):
    """Something that the vault does not hold."""

    code: ClassVar[str] = "vault-missing"


class VaultUnavailable(FirebreakError):
    """The vault's disk is full or broken; trying again can help."""

    code: ClassVar[str] = "vault-unavailable"
    retryable: ClassVar[bool] = True


class UploadRefused(FirebreakError):
    """An upload whose headers do not prove which host sends what."""

    code: ClassVar[str] = "upload-refused"
