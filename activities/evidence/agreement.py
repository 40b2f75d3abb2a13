"""Whether the vault's copy of a case is what the ledger knows to have copied there.

Owns telling a copy that lags behind (the vault was away between the ledger's write and the copy) from one that was
altered. The copy is a beginning of what the ledger holds, and no shorter than the ledger's mark, which is written
after a copy succeeded: whatever is missing before the mark was taken away. A copy that lags is judged as far as its
head reaches, as documents behind that are on their way; they too are what the ledger holds, or they are named.

    agreed = agree(chains, vault, "inc-1")
    agreed.failure, agreed.behind
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from activities.contracts.copies import Copied
from activities.contracts.custody import CaseVerdict, CustodyEvent, Manifest
from activities.evidence.contents import CaseContents, read_case
from activities.evidence.custody import for_ledger_alone
from activities.evidence.mirroring import CaseChains, head_of, mirror
from activities.evidence.sealing.names import sort_out, timestamp_event_id
from activities.evidence.vault.interface import Vault
from activities.evidence.vault.layout import Head


@dataclass(frozen=True)
class Agreement:
    """What a copy was found to be; `contents` is what of it is to be judged."""

    case_id: str
    contents: CaseContents
    failure: str = ""
    behind: int = 0
    copied_at: datetime | None = None
    awaited: frozenset[str] = frozenset()
    """Artefacts whose manifests are chained and not copied yet."""

    def told(self, verdict: CaseVerdict) -> CaseVerdict:
        """A verdict on the contents, with what the ledger knows better."""
        stray = tuple(name for name in verdict.unregistered if name not in self.awaited)
        verdict = verdict.model_copy(update={"behind": self.behind, "unregistered": stray})
        if not (verdict.ok and self.failure):
            return verdict
        return verdict.model_copy(update={"ok": False, "reason": "broken", "first_failure": self.failure})

    def warned(self, verdict: CaseVerdict, left: int | None = None) -> CaseVerdict:
        """The verdict with words for a copy that lags; `left`: by how much after something was done about it."""
        left = self.behind if left is None else left
        last = f"the last copy was at {self.copied_at:%Y-%m-%d %H:%M:%S} UTC" if self.copied_at else "none was made yet"
        if left:
            told = (
                f"The vault's copy lags behind the ledger by {left} documents; {last}. Nothing of it was taken away: "
                f"it is copied with the next event of the case, by the worker on its own, "
                f"or by: firebreak evidence verify {self.case_id}"
            )
        elif self.behind:
            told = f"The vault's copy lagged behind the ledger by {self.behind} documents; {last}. It is complete now."
        else:
            return verdict
        return verdict.model_copy(update={"warnings": (*verdict.warnings, told)})


def agree(chains: CaseChains, vault: Vault, case_id: str) -> Agreement:
    """Hold what the vault has of a case against the ledger."""
    with vault.locked(case_id):
        return _agreement(chains, vault, case_id)


def copy_late(chains: CaseChains, vault: Vault, case_id: str) -> str:
    """Complete a copy that lags behind; why not, where it was altered: that stays as it was found.

    Raises:
        VaultUnavailable: the vault is away; retryable.
    """
    if not _lacking(chains, case_id, chains.copies.find(case_id)):
        return ""
    with vault.locked(case_id):
        agreed = _agreement(chains, vault, case_id)
        if not agreed.failure:
            mirror(chains, vault, case_id)
    return agreed.failure


def _agreement(chains: CaseChains, vault: Vault, case_id: str) -> Agreement:
    # The mark first and the ledger's chains last: another machine may chain and copy meanwhile.
    copied = chains.copies.find(case_id)
    at = copied.at if copied else None
    contents = read_case(vault.case(case_id))
    manifests, events = chains.manifests(case_id), chains.custody(case_id)
    failure = _failure(contents, case_id, manifests, events, copied)
    head = _reached(contents, case_id, copied)
    if failure or head is None or head != head_of(case_id, manifests[: head.manifests], events[: head.custody]):
        return Agreement(case_id, contents, failure, copied_at=at)
    late = len(manifests) - head.manifests + sum(not for_ledger_alone(event) for event in events[head.custody :])
    if not late:
        return Agreement(case_id, contents, copied_at=at)
    return Agreement(
        case_id,
        _cut(contents, head, events),
        behind=late,
        copied_at=at,
        awaited=frozenset(f"{m.item.evidence_id}/{m.item.name}" for m in manifests[head.manifests :]),
    )


def _failure(
    contents: CaseContents,
    case_id: str,
    manifests: Sequence[Manifest],
    events: Sequence[CustodyEvent],
    copied: Copied | None,
) -> str:
    """Where the copy is no beginning of the ledger's chains, or shorter than it was."""
    kept, told = len(contents.manifests.links), len(contents.custody.links)
    begins = head_of(case_id, manifests[:kept], events[:told])
    found = (kept, contents.manifests.head, told, contents.custody.head)
    same = (begins.manifests, begins.manifest_head, begins.custody, begins.custody_head) == found
    short = copied is not None and (kept < copied.manifests or told < copied.custody)
    if same and not short:
        return ""
    held = f"{len(manifests)} manifests and {len(events)} custody events"
    failure = f"head of {case_id}: expected what the ledger holds, {held}, found {kept} and {told}"
    if copied is None or not short:
        return failure
    return f"{failure}; {copied.manifests} and {copied.custody} were copied by {copied.at:%Y-%m-%d %H:%M:%S} UTC"


def _reached(contents: CaseContents, case_id: str, copied: Copied | None) -> Head | None:
    """How far the last copy that was completed reaches; None: nothing to go by but what is there."""
    if contents.manifests.failure or contents.custody.failure:
        return None
    nothing = head_of(case_id, (), ())
    head = contents.head
    if head is None:
        return nothing if copied is None and not contents.seals else None
    known = (copied.manifests, copied.custody) if copied else (0, 0)
    found = (len(contents.manifests.links), len(contents.custody.links))
    within = known[0] <= head.manifests <= found[0] and known[1] <= head.custody <= found[1]
    return head if within else None


def _cut(contents: CaseContents, head: Head, events: Sequence[CustodyEvent]) -> CaseContents:
    """The case as it was when the last copy was completed."""
    coming = {event.event_id for event in events[head.custody :]}
    stamps = sort_out(list(contents.seals)).timestamps
    # A timestamp is kept before its event is chained and copied.
    early = {name for number, name in stamps.items() if timestamp_event_id(number) in coming}
    return replace(
        contents,
        head=head,
        head_failure="",
        manifests=contents.manifests.first(head.manifests),
        custody=contents.custody.first(head.custody),
        seals={name: content for name, content in contents.seals.items() if name not in early},
    )


def _lacking(chains: CaseChains, case_id: str, copied: Copied | None) -> bool:
    """Whether the ledger has more than its mark says, without asking the vault."""
    manifests, custody = (copied.manifests, copied.custody) if copied else (0, 0)
    events = chains.custody(case_id, custody)
    return bool(chains.manifests(case_id, manifests)) or not all(map(for_ledger_alone, events))
