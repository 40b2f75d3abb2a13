"""Items in the vault and in their chains, as the worker leaves them."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from activities.contracts.custody import Manifest
from activities.evidence.vault.directory import DirectoryCase
from api.dependencies import ApiDependencies
from tests.activities.ledger.making import START, record
from tests.activities.ledger.test_custody import building, event

BYTES = bytes(range(256)) * 1000
ITEM = "web-id-web.packets-1"
URL = f"/v1/incidents/inc-1/evidence/{ITEM}"


def keep(given: ApiDependencies, content: bytes = BYTES, evidence_id: str = ITEM, **said: Any) -> Manifest:
    """Put an item into case inc-1; `said` is what its manifest says differently."""
    if given.ledger.incidents.incident("inc-1") is None:
        given.ledger.incidents.record(record("inc-1", 1, "isolated"))
    digest = hashlib.sha256(content).hexdigest()
    name = said.get("name", "ring.pcapng")
    storage = given.vault.put_stream("inc-1", evidence_id, name, [content], sha256=digest)
    found: dict[str, Any] = {"sha256": digest, "size": len(content), "storage": storage} | said
    kept = register(given, evidence_id, **found)
    given.evidence.mirror("inc-1")
    return kept


def register(
    given: ApiDependencies,
    evidence_id: str,
    *,
    case_id: str = "inc-1",
    tlp: str = "AMBER",
    ended: datetime = START,
    **said: Any,
) -> Manifest:
    """Chain an item; its bytes are the caller's."""

    def build(seq: int, prev_hash: str) -> Manifest:
        manifest = building(evidence_id, case_id)(seq, prev_hash)
        acquisition = manifest.item.acquisition.model_copy(update={"ended": ended})
        item = manifest.item.model_copy(update={"acquisition": acquisition} | said)
        return manifest.model_copy(update={"item": item, "tlp": tlp})

    kept = given.ledger.custody.append_manifest(case_id, build)
    if case_id == "inc-1":
        given.ledger.custody.append_custody(case_id, event("collect", f"{evidence_id}.collect", evidence_id))
    return kept


def alter(given: ApiDependencies, evidence_id: str = ITEM, at: int = 0) -> None:
    """Flip one byte of an item where it lies."""
    path = stored_file(given, evidence_id)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        (octet,) = file.read(1)
        file.seek(at)
        file.write(bytes([octet ^ 1]))


def stored_file(given: ApiDependencies, evidence_id: str) -> Path:
    """Where a vault that is a directory keeps an item."""
    case = given.vault.case("inc-1")
    assert isinstance(case, DirectoryCase)
    return case.path(evidence_id)


def reads(given: ApiDependencies) -> list[tuple[str, str, str]]:
    """Action, actor and purpose of every event but the collecting."""
    events = given.ledger.custody.custody("inc-1")
    return [(e.action, e.actor, e.purpose) for e in events if e.action not in ("collect", "transfer")]
