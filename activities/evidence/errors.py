"""What the vault refuses, each with object, expectation and finding. Owns the errors of this folder alone."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class VaultRefused(FirebreakError):
    """A name that can't be a name in the vault."""

    code: ClassVar[str] = "vault-refused"


class VaultDenied(FirebreakError):
    """The vault's own storage refuses us: credentials, clock, permission, lock. Not the fault of who sends."""

    code: ClassVar[str] = "vault-denied"


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


class VaultKeyRefused(FirebreakError):
    """A key that can't be used, or is not the one that something is encrypted with."""

    code: ClassVar[str] = "vault-key-refused"


class UploadTooLarge(FirebreakError):
    """More bytes than one artefact may have."""

    code: ClassVar[str] = "upload-too-large"


class UploadElsewhere(FirebreakError):
    """A part that does not continue what is there; `offset` says where an upload goes on."""

    code: ClassVar[str] = "upload-offset"

    def __init__(self, summary: str, *, offset: int, hint: str = "") -> None:
        super().__init__(summary, hint=hint)
        self.offset = offset


class UploadRefused(FirebreakError):
    """An upload whose headers do not prove which host sends what."""

    code: ClassVar[str] = "upload-refused"


class SealBroken(FirebreakError):
    """A seal, key or timestamp that is not what it should be."""

    code: ClassVar[str] = "seal-broken"


class SignerUnusable(FirebreakError):
    """A signing key that can't be used as it is configured."""

    code: ClassVar[str] = "signer-unusable"


class SignerAway(FirebreakError):
    """A signing service that does not answer; trying again can help."""

    code: ClassVar[str] = "signer-away"
    retryable: ClassVar[bool] = True


class TimestampAway(FirebreakError):
    """A time-stamping authority that does not answer, or not with a timestamp; trying again can help."""

    code: ClassVar[str] = "timestamp-away"
    retryable: ClassVar[bool] = True


class ExportBroken(FirebreakError):
    """An export that was broken off, since the bytes are not what their manifest says."""

    code: ClassVar[str] = "export-broken"


class BagRefused(FirebreakError):
    """An archive that is not unpacked: it is no bag of ours, or would write elsewhere."""

    code: ClassVar[str] = "bag-refused"


class HoldRefused(FirebreakError):
    """A legal hold that can't be set, or not lifted by who asks."""

    code: ClassVar[str] = "hold-refused"
