"""Items of one case, as collectors hand them over."""

import hashlib
from datetime import UTC, datetime

from activities.contracts.evidence import Acquisition, CollectedItem, Outcome, Source
from activities.evidence.vault.interface import Vault

CASE = "inc-1"
AT = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)


def make_item(vault: Vault, label: str, content: bytes = b"") -> CollectedItem:
    """An item whose bytes are in the vault, as a host hands it over."""
    content = content or label.encode() * 100
    digest = hashlib.sha256(content).hexdigest()
    name = f"{label}.json"
    storage = vault.put_stream(CASE, f"web-1.{label}", name, [content], sha256=digest, size=len(content))
    return CollectedItem(
        evidence_id=f"web-1.{label}",
        kind="volatile",
        name=name,
        media_type="application/json",
        size=len(content),
        sha256=digest,
        outcome=Outcome(state="collected"),
        source=Source(resource_id="9f2c", host="web"),
        acquisition=Acquisition(tool="test", started=AT, ended=AT, clock_offset_ms=0.25),
        volatility_rank=1,
        storage=storage,
    )


def absent_item(label: str) -> CollectedItem:
    """An item of which only the reason of its absence is there."""
    return CollectedItem(
        evidence_id=f"web-1.{label}",
        kind="volatile",
        name=f"{label}.json",
        media_type="application/json",
        outcome=Outcome(state="failed", reason="no such command"),
        source=Source(resource_id="9f2c", host="web"),
        acquisition=Acquisition(tool="test", started=AT, ended=AT),
        volatility_rank=2,
    )
