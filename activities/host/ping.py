"""The empty order: is the agent there, and how long does an order take to arrive?"""

from datetime import UTC, datetime

from temporalio import activity

from activities.contracts.host import Pinged, PingOrder


@activity.defn
def ping_host(order: PingOrder) -> Pinged:  # noqa: ARG001 - being carried out is all there is to it
    """Say when the order arrived."""
    return Pinged(at=datetime.now(UTC))
