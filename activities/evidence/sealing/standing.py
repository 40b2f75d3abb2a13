"""Whether what was sealed before still stands, asked before anything is signed on top of it.

Owns that no seal of ours vouches for what somebody else put into the vault: an envelope that another key signed, a
document or an item that was exchanged or taken away. Chains are those of the ledger, never the vault's copies.

    check_standing(vault, "inc-1", manifests, events, trust)
"""

from collections.abc import Sequence
from hashlib import sha256

from activities.contracts.evidence import CustodyEvent, Manifest
from activities.evidence.chains import Chain
from activities.evidence.contents import CaseContents, read_sealed
from activities.evidence.errors import SealBroken, VaultMismatch, VaultMissing
from activities.evidence.sealing.checking import CheckedSeals, check_envelopes
from activities.evidence.sealing.trust import Trust
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
    failures = [*found.failures, *(_item_failure(vault, case_id, m) for m in manifests[:covered] if m.item.storage)]
    first = next(filter(None, failures), "")
    if first:
        raise SealBroken(
            f"Case {case_id} is not sealed again: {first}.",
            hint="What was sealed before was altered. Keep everything as it is: firebreak evidence verify CASE.",
        )
    return found


def _item_failure(vault: Vault, case_id: str, manifest: Manifest) -> str:
    """Whether it is there as it was; its bytes are read by every verification and every export."""
    item = manifest.item
    try:
        kept = vault.find(case_id, item.evidence_id)
    except (VaultMissing, VaultMismatch) as error:
        return f"{item.evidence_id}: {error.summary}"
    expected = Kept(evidence_id=item.evidence_id, name=item.name, size=item.size)
    return "" if kept == expected else f"{item.evidence_id}: expected {expected}, found {kept}"


def _manifests(links: Sequence[Manifest]) -> Chain[Manifest]:
    names = tuple(chained_name(link.seq, link.item.evidence_id) for link in links)
    return Chain("manifests", names, tuple(links), tuple(sha256(canonical(link)).hexdigest() for link in links))


def _custody(links: Sequence[CustodyEvent]) -> Chain[CustodyEvent]:
    names = tuple(chained_name(seq, link.event_id) for seq, link in enumerate(links, start=1))
    return Chain("custody", names, tuple(links), tuple(sha256(canonical(link)).hexdigest() for link in links))
