"""What a collection of evidence has come to so far, and its way into the case's chains.

Owns registering. Large things never pass here: only manifests, hashes and references.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.contracts.custody import Authority, Registered, RegisterEvidence
    from activities.contracts.evidence import CollectedItem
    from activities.contracts.response import CollectStart
    from segmentation.bounds import few
    from segmentation.workloads import Workload

from workflows.listing import PROBLEMS, WORDS

# The vault reads every byte back before an item is chained: so much even a bucket far away gives in a second.
BYTES_PER_SECOND = 16 << 20
READING, LONGEST = timedelta(minutes=10), timedelta(hours=6)
# A vault that is away for longer costs its items their place in the chains, and the incident no more than this.
AWAY = timedelta(hours=1)


class Gathered:
    """The items and problems of one target."""

    def __init__(self, start: CollectStart) -> None:
        self._start = start
        self.items: list[CollectedItem] = []
        self.problems: list[str] = []

    async def register(
        self, items: tuple[CollectedItem, ...], collector: str, *, attested: bool, owner: Workload | None = None
    ) -> None:
        """Chain items into the case; `collector` says whose they are, `attested` whether that one signed for them.

        Ids that are not those of `owner`, a host, are no items.
        """
        start, reading = self._start, _reading(items)
        self.items.extend(items)
        registered: Registered = await workflow.execute_activity(
            "register_evidence",
            RegisterEvidence(
                incident_id=start.incident_id,
                items=items,
                collector=collector,
                attested=attested,
                authority=Authority(decision_ids=start.decision_ids, plan_hash=start.plan_hash),
                containment_state=start.containment_state,
                retention=start.forensics.retention,
                tlp=start.forensics.tlp,
                owner=owner,
            ),
            result_type=Registered,
            start_to_close_timeout=reading,
            schedule_to_close_timeout=reading + AWAY,
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
        self.items = [item for item in self.items if item not in items or item.evidence_id not in registered.refused]
        self.problems.extend(few(registered.problems, PROBLEMS, WORDS))


def _reading(items: tuple[CollectedItem, ...]) -> timedelta:
    """How long reading them back may take; sizes are the host's word, and bound nothing by themselves."""
    seconds = sum(max(0, item.size) for item in items) // BYTES_PER_SECOND
    return min(READING + timedelta(seconds=min(seconds, 1 << 30)), LONGEST)
