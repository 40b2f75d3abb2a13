"""What of many hosts' answers is kept with the incident: what people and the report read, within a bound.

Owns what is left out. Nothing is lost by it: the case's manifests tell everything of every item, the histories of the
children every answer. An incident is one document, written again with each of its events, and the engine takes 2 MiB.

    kept = of_items(items, ITEMS_BYTES)      # the first that fit, without what only the manifest tells
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from activities.contracts.evidence import CollectedItem, Gap
    from activities.contracts.host import ProcessRef
    from activities.contracts.incident import TargetStatus
    from playbooks.proof import Proof
    from segmentation.bounds import cut, few_words, fitting, size_of

# Of one target, from its child to the incident.
CHILD_BYTES = 256 << 10
# Of the whole incident; proofs and gates are beside them.
ITEMS_BYTES, INTRUDERS_BYTES, PLANS_BYTES = 384 << 10, 64 << 10, 768 << 10
# Of one target.
PROOF_BYTES = 20 << 10
# Problems of one collection: a taken host can have one for every item.
PROBLEMS = 5
WORDS, _COMMAND, _SOCKETS, _GAPS = 300, 120, 4, 4
Document = TypeVar("Document", bound=BaseModel)


def of_items(items: Iterable[CollectedItem], max_bytes: int) -> tuple[CollectedItem, ...]:
    """The first that fit, each without its command and its filter, and of many gaps the first."""
    return fitting((_item(item) for item in items), max_bytes)


def of_intruders(processes: Iterable[ProcessRef], max_bytes: int) -> tuple[ProcessRef, ...]:
    """The first that fit, each told apart from every other, not in full."""
    return fitting((_process(process) for process in processes), max_bytes)


def of_proof(proof: Proof, max_bytes: int = PROOF_BYTES) -> Proof:
    """The verdict of all measurements, with those that fit."""
    listed = fitting(proof.measurements, max_bytes)
    if len(listed) == len(proof.measurements):
        return proof
    more = f"{len(proof.measurements) - len(listed)} more measurements count, and are not listed"
    return proof.model_copy(update={"measurements": listed, "reasons": (*proof.reasons, more)})


def of_target(status: TargetStatus, others: Iterable[TargetStatus]) -> TargetStatus:
    """The status, without its plan where that does not fit beside those of the others.

    Whoever holds its lease has the plan; without it here nobody can succeed a holder that was ended.
    """
    target_id = status.workload.workload_id
    taken = sum(_plan_size(other) for other in others if other.workload.workload_id != target_id)
    if taken + _plan_size(status) <= PLANS_BYTES:
        return status
    return status.model_copy(update={"change": None, "observation": None})


def _plan_size(status: TargetStatus) -> int:
    return sum(size_of(part) for part in (status.change, status.observation) if part is not None)


def shares(groups: Sequence[Sequence[Document]]) -> list[Document]:
    """One of each in turn, so that the many of one host leave nobody else's out."""
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def _item(item: CollectedItem) -> CollectedItem:
    gaps = _gaps(item.acquisition.gaps)
    acquisition = item.acquisition.model_copy(update={"command": (), "filter": "", "gaps": gaps})
    source = item.source.model_copy(update={"interface": cut(item.source.interface, _COMMAND)})
    outcome = item.outcome.model_copy(update={"reason": cut(item.outcome.reason, WORDS)})
    return item.model_copy(update={"acquisition": acquisition, "source": source, "outcome": outcome})


def _gaps(gaps: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """The first, and one for the rest."""
    kept, rest = (gaps, ()) if len(gaps) <= _GAPS else (gaps[: _GAPS - 1], gaps[_GAPS - 1 :])
    told = tuple(gap.model_copy(update={"reason": cut(gap.reason, _COMMAND)}) for gap in kept)
    if not rest:
        return told
    ended = max(gap.ended for gap in rest)
    return (*told, Gap(started=rest[0].started, ended=ended, reason=f"{len(rest)} gaps, which the manifest tells"))


def _process(process: ProcessRef) -> ProcessRef:
    shown = {
        "command": few_words(process.command, _COMMAND),
        "executable": cut(process.executable, WORDS),
        "sockets": process.sockets[:_SOCKETS],
    }
    return process.model_copy(update=shown)
