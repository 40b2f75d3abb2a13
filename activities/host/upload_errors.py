"""What goes wrong on the way to the vault. Owns the errors of uploading alone."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class UploadFailed(FirebreakError):
    """The vault did not take an artefact in time."""

    code: ClassVar[str] = "upload-failed"
    retryable: ClassVar[bool] = True


class UploadRejected(UploadFailed):
    """The vault will not take it: another try would be the same."""

    retryable: ClassVar[bool] = False


class NotNow(Exception):
    """Trying again can help: from `offset`, or where the vault says, after `pause` seconds."""

    def __init__(self, reason: str, *, offset: int | None = None, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.offset, self.pause = offset, pause
