"""Whether what was sealed before still stands, asked before anything is signed on top of it.

Owns that no seal of ours vouches for what somebody else put into the vault: an envelope that another key signed, a
document or an item that was exchanged or taken away. Chains are those of the ledger, never the vault's copies.

    check_standing(vault, "inc-1", manifests, events, trust)
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from activities.contracts.custody import CustodyEvent, Manifest
from activities.contracts.evidence import CollectedItem
from activities.evidence.chains import Chain
from activities.evidence.contents import CaseContents, read_sealed
from activities.evidence.errors import SealBroken, VaultMismatch, VaultMissing
from activities.evidence.sealing.checking import CheckedSeals, check_envelopes
from activities.evidence.sealing.trust import Trust
from activities.evidence.side_by_side import side_by_side
from activities.evidence.vault.interface import Kept, Vault
from activities.evidence.vault.layout import chained_name
from playbooks.canonical import canonical


def check_standing(
    vault: Vault, case_id: str, manifests: Sequence[Manifest], events: Sequence[CustodyEvent], trust: Trust
) -> CheckedSeals:
    """The seals that are there, each by a key of `trust`, or SealBroken."""
    seals, keys, documents = read_sealed(vault.case(case_id))
    contents = CaseContents(None, "", _manifests(manifests), _custody(events), seals, keys, documents)
    found = check_envelopes(contents, trust)
    covered = found.last.predicate.manifests.length if found.last else 0
    items = [manifest.item for manifest in manifests[:covered] if manifest.item.storage]
    first = next(filter(None, [*found.failures, *_item_failures(vault, case_id, items)]), "")
    if first:
        raise SealBroken(
            f"Case {case_id} is not sealed again: {first}.",
            hint="What was sealed before was altered. Keep everything as it is: firebreak evidence verify CASE.",
        )
    return found


def _item_failures(vault: Vault, case_id: str, items: Sequence[CollectedItem]) -> list[str]:
    """Whether they are there as they were; their bytes are read by every verification and every export.

    One listing tells of all of them; what is not in it as expected is asked for by itself.
    """
    if not items:
        return []
    listed = _listed(vault, case_id)
    doubtful = [item for item in items if listed.get(item.evidence_id) != _expected(item)]
    return side_by_side(partial(_item_failure, vault, case_id), doubtful)


def _listed(vault: Vault, case_id: str) -> dict[str, Kept]:
    """By id; none, where somebody put among them what is nothing of ours: that is no failure of any item."""
    try:
        return {kept.evidence_id: kept for kept in vault.case(case_id).artefacts()}
    except (VaultMissing, VaultMismatch):
        return {}


def _item_failure(vault: Vault, case_id: str, item: CollectedItem) -> str:
    try:
        kept = vault.find(case_id, item.evidence_id)
    except (VaultMissing, VaultMismatch) as error:
        return f"{item.evidence_id}: {error.summary}"
    expected = _expected(item)
    return "" if kept == expected else f"{item.evidence_id}: expected {expected}, found {kept}"


def _expected(item: CollectedItem) -> Kept:
    return Kept(evidence_id=item.evidence_id, name=item.name, size=item.size)


def _manifests(links: Sequence[Manifest]) -> Chain[Manifest]:
    names = tuple(chained_name(link.seq, link.item.evidence_id) for link in links)
    return Chain("manifests", names, tuple(links), tuple(sha256(canonical(link)).hexdigest() for link in links))


def _custody(links: Sequence[CustodyEvent]) -> Chain[CustodyEvent]:
    names = tuple(chained_name(seq, link.event_id) for seq, link in enumerate(links, start=1))
    return Chain("custody", names, tuple(links), tuple(sha256(canonical(link)).hexdigest() for link in links))
