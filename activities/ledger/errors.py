"""What the ledger refuses, each with its reason. Never raised for a database that merely is away."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class LedgerUnusable(FirebreakError):
    """The ledger's address or schema is one this version can't work with."""

    code: ClassVar[str] = "ledger-unusable"


class CursorInvalid(FirebreakError):
    """A page cursor that this ledger did not give out."""

    code: ClassVar[str] = "cursor-invalid"


class HostKeyConflict(FirebreakError):
    """A known host came back with another key, or a new one under a known name."""

    code: ClassVar[str] = "host-key-conflict"


class JoinTokenRefused(FirebreakError):
    """A join token that is unknown, expired or used up."""

    code: ClassVar[str] = "join-token-refused"


class ChainConflict(FirebreakError):
    """A link that does not continue its chain, or claims a known id for other content."""

    code: ClassVar[str] = "chain-conflict"
