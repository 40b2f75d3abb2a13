"""Reading back what a vault holds, with a heartbeat: a large item takes longer than a worker may be silent.

digest_in(vault, "inc-1", "web.sockets")    # -> sha256, or None
"""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from temporalio import activity

from activities.evidence.errors import VaultMissing
from activities.evidence.vault.interface import Vault

HEARTBEAT_SECONDS = 5.0


def digest_in(vault: Vault, case_id: str, evidence_id: str) -> str | None:
    """SHA-256 of an item's bytes as collected; None where the vault holds none."""
    digest = sha256()
    try:
        for chunk in read_back(vault, case_id, evidence_id):
            digest.update(chunk)
    except VaultMissing:
        return None
    return digest.hexdigest()


def read_back(vault: Vault, case_id: str, evidence_id: str) -> Iterator[bytes]:
    """Its bytes as collected; raises VaultMissing."""
    beat = heartbeat()
    for chunk in vault.case(case_id).read(evidence_id):
        beat(0, 0)
        yield chunk


def heartbeat() -> Callable[[int, int], None]:
    """Tells Temporal that a long read goes on; nobody, where it is not read for an activity."""
    last = 0.0

    def beat(done: int, total: int) -> None:
        nonlocal last
        if activity.in_activity() and time.monotonic() - last > HEARTBEAT_SECONDS:
            last = time.monotonic()
            activity.heartbeat(done, total)

    return beat
