"""Orders: what every instruction to an agent carries.

Owns the header that binds an order to one host, one incident, one plan and a time. The signature over it is
made and checked by `activities.orders`; the model itself is pure and may be imported by workflows.
"""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from playbooks.gates import PlanHash
from segmentation.workloads import Frozen, Name

HOST_QUEUE_PREFIX = "host."


class OrderHeader(Frozen):
    """Who is ordered what, for which incident, on which plan, until when."""

    order_id: Name = Field(description="Derived from workflow and step, so that a retry is the same order.")
    host_id: Name
    incident_id: Name
    plan_hash: PlanHash | None = None
    expires_at: datetime


class Order(Frozen):
    """Base of every input of a host activity."""

    header: OrderHeader


class Testimony(Frozen):
    """Base of every result of a host activity.

    `attested_by` is set by the receiving side after it checked the host's signature; what a host writes there
    itself is discarded.
    """

    # What it may take in a payload: who reads it refuses more, since it goes on into the incident's own.
    max_bytes: ClassVar[int] = 64 << 10

    attested_by: Name | None = None
