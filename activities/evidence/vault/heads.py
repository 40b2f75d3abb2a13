"""Which of two heads of a case is the newer one.

Owns the comparison alone: chains only ever grow, so the longer one is the newer one, each for itself.

    advanced(known, ours)       # what should stand
"""

from activities.evidence.errors import VaultConflict
from activities.evidence.vault.layout import Head


def advanced(known: Head | None, ours: Head) -> Head:
    """The longer chain of each kind.

    Raises:
        VaultConflict: chains of one length that end differently: somebody wrote another history.
    """
    if known is None:
        return ours
    if known.manifests == ours.manifests and known.manifest_head != ours.manifest_head:
        raise _forked(ours, "manifests", ours.manifests)
    if known.custody == ours.custody and known.custody_head != ours.custody_head:
        raise _forked(ours, "custody events", ours.custody)
    manifests = max(known, ours, key=lambda head: head.manifests)
    custody = max(known, ours, key=lambda head: head.custody)
    return Head(
        case_id=ours.case_id,
        manifests=manifests.manifests,
        manifest_head=manifests.manifest_head,
        custody=custody.custody,
        custody_head=custody.custody_head,
    )


def _forked(ours: Head, what: str, length: int) -> VaultConflict:
    return VaultConflict(
        f"The vault's head of {ours.case_id} names another end of its {length} {what} than ours.",
        hint="Verify the case: two histories were written, or the vault was altered.",
    )
