"""What a collection of evidence has come to so far, and its way into the case's chains.

Owns registering. Large things never pass here: only manifests, hashes and references.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.contracts.evidence import Authority, CollectedItem, Registered, RegisterEvidence
    from activities.contracts.response import CollectStart


class Gathered:
    """The items and problems of one target."""

    def __init__(self, start: CollectStart) -> None:
        self._start = start
        self.items: list[CollectedItem] = []
        self.problems: list[str] = []

    async def register(self, items: tuple[CollectedItem, ...], collector: str, *, attested: bool) -> None:
        """Chain items into the case; `collector` says whose they are, `attested` whether that one signed for them."""
        start = self._start
        self.items.extend(items)
        await workflow.execute_activity(
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
            ),
            result_type=Registered,
            # The vault reads every byte back before an item is chained.
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
