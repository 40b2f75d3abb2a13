"""Why there is no preview, each with what to do. Owns the errors of this folder alone."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class PreviewFailed(FirebreakError):
    """The bytes can't be made into a preview within the bounds."""

    code: ClassVar[str] = "preview-failed"


class PreviewUnconfined(FirebreakError):
    """Nothing is read where the reading process can't be cut off from the network."""

    code: ClassVar[str] = "preview-unconfined"


class PreviewBusy(FirebreakError):
    """As many previews are being made as may be at once."""

    code: ClassVar[str] = "preview-busy"
    retryable: ClassVar[bool] = True
