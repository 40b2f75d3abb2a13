"""Inputs and results of probes: what a witness measures of a host, and a contained host of its own lifeline.

Pure shapes; measuring is in `activities.host.probes`, what it adds up to in `playbooks.proof`.
"""

from typing import ClassVar

from pydantic import Field, IPvAnyAddress

from activities.contracts.orders import Order, Testimony
from playbooks.host_isolation import IsolationIntent, LifelineEndpoint
from playbooks.proof import MAX_MEASUREMENTS, Measurement
from segmentation.workloads import Frozen, Name


class ProbeTarget(Frozen):
    """One address of a host and the TCP ports that answered before."""

    host_id: Name
    address: IPvAnyAddress
    tcp_ports: tuple[int, ...] = ()


class ProbeOrder(Order):
    """probe_peers: connect to the subject from outside, listen for it; connect to bystanders as a control."""

    subject: tuple[ProbeTarget, ...] = Field(min_length=1)
    bystanders: tuple[ProbeTarget, ...] = ()
    silence_ms: int = Field(default=400, ge=50, le=10_000)
    connect_timeout_ms: int = Field(default=400, ge=50, le=10_000)
    lifeline: tuple[LifelineEndpoint, ...] = Field(
        default=(),
        description="Where the witness is one of these endpoints, their traffic is no breach of silence.",
    )


class Probed(Testimony):
    """What a witness measured."""

    max_bytes: ClassVar[int] = 128 << 10

    measurements: tuple[Measurement, ...] = Field(max_length=MAX_MEASUREMENTS)


class LifelineOrder(Order):
    """probe_lifeline: from the contained host, connect to every endpoint that must stay reachable."""

    intent: IsolationIntent
