"""PingHostWorkflow: is this host's agent there, and how long does an order take?

One empty activity on the host's queue: also the durable floor that time to contain is measured against.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Pinged, PingOrder
    from segmentation.workloads import Workload

from workflows.orders import Orders, give


@workflow.defn
class PingHostWorkflow:
    """One signed order that does nothing."""

    @workflow.run
    async def run(self, host: Workload) -> Pinged:
        """Returns when the agent took the order."""
        order = PingOrder(header=Orders("ping").header(host))
        return await give(host, "ping_host", order, Pinged)
