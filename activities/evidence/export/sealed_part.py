"""What of a case goes into a bag: as much as its last seal vouches for, with the timestamps of its seals.

Owns the cut, and that nothing is handed over whose seals do not hold by the keys that are known here. Reads nothing.

    part, keyids = sealed_part(contents, trust)
"""

from dataclasses import replace

from activities.evidence.contents import CaseContents
from activities.evidence.errors import ExportBroken
from activities.evidence.sealing.checking import CheckedSeals, check_seals
from activities.evidence.sealing.names import sort_out, timestamp_event_id
from activities.evidence.sealing.statement import Statement
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.layout import Head


def sealed_part(contents: CaseContents, trust: Trust) -> tuple[CaseContents, tuple[str, ...]]:
    """The part, and the fingerprints of its seals' keys; none where no key is known here to hold them against.

    What came after the last seal stays in the vault: somebody read an item while the export was planned.

    Raises:
        ExportBroken: the case does not hold together, has no seal, or one that does not hold.
    """
    failure = contents.head_failure or contents.manifests.failure or contents.custody.failure
    if failure or contents.head is None:
        raise _refused(failure)
    seals = check_seals(contents, trust)
    if seals.failures:
        raise _refused(seals.failures[0])
    if seals.last is None:
        raise _refused("it has no seal")
    keyids = tuple(dict.fromkeys(ref.keyid for ref in seals.refs)) if trust.given else ()
    return _cut(contents, contents.head, seals, seals.last), keyids


def _cut(contents: CaseContents, head: Head, seals: CheckedSeals, last: Statement) -> CaseContents:
    manifests = contents.manifests.first(last.predicate.manifests.length)
    custody = contents.custody.first(_end(contents, last))
    told = {event.event_id for event in custody.links}
    tokens = sort_out(list(contents.seals)).timestamps
    left_out = {name for number, name in tokens.items() if timestamp_event_id(number) not in told}
    update = {
        "manifests": len(manifests.links),
        "manifest_head": manifests.head,
        "custody": len(custody.links),
        "custody_head": custody.head,
    }
    return replace(
        contents,
        head=head.model_copy(update=update),
        manifests=manifests,
        custody=custody,
        seals={name: content for name, content in contents.seals.items() if name not in left_out},
        documents={name: digest for name, digest in contents.documents.items() if name in seals.documents},
    )


def _end(contents: CaseContents, last: Statement) -> int:
    """Where the custody chain ends: behind the timestamps that follow the last seal at once."""
    stamps = {timestamp_event_id(number) for number in range(1, last.predicate.number + 1)}
    end = last.predicate.custody.length
    while end < len(contents.custody.links) and contents.custody.links[end].event_id in stamps:
        end += 1
    return end


def _refused(why: str) -> ExportBroken:
    return ExportBroken(f"The case can't be exported: {why}.", hint="firebreak evidence verify CASE")
