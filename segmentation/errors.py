"""The one base error of Firebreak.

Owns what every error tells its reader: what happened, what to do, and whether trying again can help.
Never knows transports: HTTP problems and Temporal failures are built from it at the edges.

    raise TargetProtected("web-1 is on the protected list (label role=dns)",
                          hint="Ask its owner, or decide break-glass on the incident.")
"""

from typing import ClassVar


class FirebreakError(Exception):
    """An error with a summary, a hint and a verdict on retrying.

    `summary` names the object, what was expected and what was found. `hint` says what to do.
    `code` is stable and machine-readable; no code branches on message text.
    """

    code: ClassVar[str] = "firebreak-error"
    retryable: ClassVar[bool] = False

    def __init__(self, summary: str, *, hint: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.summary} {self.hint}".rstrip()
