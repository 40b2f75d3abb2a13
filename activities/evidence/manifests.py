"""Manifests: what is chained of an item, and how one that came late is told from the one it came too late for.

Owns how they are built; pure but for who asks Temporal which step of a workflow this is. Never stores them.

    chains.append_manifest(case_id, manifest_of(request, item))
"""

from collections.abc import Callable

from temporalio import activity

from activities.contracts.custody import Manifest, Principal, RegisterEvidence, WorkflowRef
from activities.contracts.evidence import CollectedItem
from activities.evidence.vault.layout import host_prefix

_ID_LENGTH, _LATE = 120, ".2"


def manifest_of(
    request: RegisterEvidence, item: CollectedItem, derived_from: tuple[str, ...] = ()
) -> Callable[[int, str], Manifest]:
    """The manifest of an item, at the place that it is told."""
    # `agent:web`, `worker:aws`, or the workflow itself where nothing could be collected.
    who = request.collector.partition(":")[0]
    role = who if request.attested else f"{who}, result not signed"

    def build(seq: int, prev_hash: str) -> Manifest:
        return Manifest(
            case_id=request.incident_id,
            seq=seq,
            prev_hash=prev_hash,
            item=item,
            collector=Principal(principal=request.collector, role=role),
            authority=request.authority,
            containment_state_at_capture=request.containment_state,
            workflow=_workflow(),
            derived_from=derived_from,
            tlp=request.tlp,
            retention=request.retention,
        )

    return build


def is_own(request: RegisterEvidence, item: CollectedItem) -> bool:
    """Whether its id is one that its collector may give: a taken host must not occupy another's."""
    owner = request.owner
    return owner is None or item.evidence_id.startswith(host_prefix(owner.name, owner.workload_id))


def is_known(known: CollectedItem | None, item: CollectedItem) -> bool:
    """Whether it is chained as its collector tells of it, so that its bytes were read back before."""
    if known is None or (known.storage is None) != (item.storage is None):
        return False
    return known == item.model_copy(update={"storage": known.storage})


def late_id(evidence_id: str) -> str:
    """The id of what came after a manifest had said that it is not there."""
    return evidence_id[: _ID_LENGTH - len(_LATE)] + _LATE


def _workflow() -> WorkflowRef:
    info = activity.info()
    return WorkflowRef(
        workflow_id=info.workflow_id or "",
        run_id=info.workflow_run_id or "",
        activity_id=info.activity_id,
        attempt=info.attempt,
    )
