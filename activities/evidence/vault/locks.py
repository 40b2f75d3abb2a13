"""What Object Lock says of a version, as S3 spells it and as evidence does.

Owns the translation, and which of two locks is the stricter one. Pure: no call.

    Lock.asked(Retention(mode="governance", until=end)).headers
    Lock.found(head).at_least(Lock.asked(retention))
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from activities.contracts.evidence import LockMode, Retention
from segmentation.workloads import Frozen

_STRICTNESS: tuple[LockMode, ...] = ("write-once", "governance", "compliance")


class Lock(Frozen):
    """Mode, end and legal hold of one version."""

    mode: LockMode = "write-once"
    until: datetime | None = None
    legal_hold: bool = False

    @classmethod
    def asked(cls, retention: Retention) -> Self:
        """What a retention asks of S3; without an end it asks nothing."""
        return cls(mode=retention.mode, until=retention.until) if retention.until else cls()

    @classmethod
    def found(cls, head: Mapping[str, Any]) -> Self:
        """What S3 answers."""
        until = head.get("ObjectLockRetainUntilDate")
        mode = str(head.get("ObjectLockMode") or "write-once").lower()
        hold = head.get("ObjectLockLegalHoldStatus") == "ON"
        return cls.model_validate({"mode": mode, "until": until and until.astimezone(UTC), "legal_hold": hold})

    @property
    def headers(self) -> dict[str, Any]:
        """For whatever creates a version."""
        return {"ObjectLockMode": self.mode.upper(), "ObjectLockRetainUntilDate": self.until} if self.locks else {}

    @property
    def locks(self) -> bool:
        """Whether there is a retention at all."""
        return self.until is not None and self.mode != "write-once"

    def at_least(self, other: "Lock") -> "Lock":
        """The stricter mode until the later end: a lock is never loosened."""
        if not other.locks:
            return self
        if not self.locks:
            return self.model_copy(update={"mode": other.mode, "until": other.until})
        mode = max(self.mode, other.mode, key=_STRICTNESS.index)
        until = max(end for end in (self.until, other.until) if end is not None)
        # S3 keeps whole seconds: what it already has is not extended by less.
        if self.until is not None and until - self.until < timedelta(seconds=1):
            until = self.until
        return self.model_copy(update={"mode": mode, "until": until})


def longest(retentions: Iterable[Retention]) -> Retention:
    """The strictest mode until the latest end of them all; of none, nothing is asked."""
    mode: LockMode = "write-once"
    ends: list[datetime] = []
    for retention in retentions:
        mode = max(mode, retention.mode, key=_STRICTNESS.index)
        ends += [retention.until] if retention.until else []
    return Retention(mode=mode, until=max(ends, default=None))
