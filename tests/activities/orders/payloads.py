"""Orders and results as payloads of one workflow step, on both ends of a host's queue."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.common.v1 import Payload
from temporalio.converter import ActivitySerializationContext, DataConverter, WorkflowSerializationContext

from activities.contracts.host import Pinged, PingOrder
from activities.contracts.orders import OrderHeader
from activities.orders.codec import Seal, agent_converter, control_converter, order_verdict
from activities.orders.keys import public_bytes

SEAL = Seal(b"of these tests")
CONTROL = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
WEB = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
STEP = ActivitySerializationContext(
    namespace="default",
    workflow_id="incident-1",
    workflow_type="IncidentWorkflow",
    activity_type="ping_host",
    activity_id="1",
    activity_task_queue="host.web",
    is_local=False,
)
WORKFLOW = WorkflowSerializationContext(namespace="default", workflow_id="incident-1")


def control(key: Ed25519PrivateKey | None = CONTROL, seal: Seal = SEAL) -> DataConverter:
    """The converter of a control process; web is the one host that has joined."""
    known = {"web": public_bytes(WEB.public_key())}
    return control_converter(seal, key, known.get)


def agent(key: Ed25519PrivateKey = WEB) -> DataConverter:
    """The converter of web's agent."""
    return agent_converter(key, public_bytes(CONTROL.public_key()))


def step(**changes: Any) -> ActivitySerializationContext:
    """The step of these tests, or another one."""
    return dataclasses.replace(STEP, **changes)


def order(order_id: str = "incident-1.run.1", host: str = "web", life: float = 60) -> PingOrder:
    """An order that does nothing."""
    expires = datetime.now(UTC) + timedelta(seconds=life)
    return PingOrder(header=OrderHeader(order_id=order_id, host_id=host, incident_id="inc", expires_at=expires))


async def signed(given: PingOrder, context: ActivitySerializationContext = STEP) -> Payload:
    """An order as the worker sends it."""
    [payload] = await control().with_context(context).encode([given])
    return payload


async def verdict_on(payload: Payload, context: ActivitySerializationContext = STEP) -> str | None:
    """What the agent's codec finds about an order."""
    token = order_verdict.set(None)
    try:
        codec = agent().with_context(context).payload_codec
        assert codec is not None
        await codec.decode([payload])
        return order_verdict.get()
    finally:
        order_verdict.reset(token)


async def answered(
    pinged: Pinged, key: Ed25519PrivateKey = WEB, context: ActivitySerializationContext = STEP
) -> Payload:
    """A result as an agent sends it."""
    [payload] = await agent(key).with_context(context).encode([pinged])
    return payload


async def read(payload: Payload, context: ActivitySerializationContext = STEP) -> Pinged:
    """A result as the worker reads it."""
    [pinged] = await control().with_context(context).decode([payload], [Pinged])
    assert isinstance(pinged, Pinged)
    return pinged


def flipped(payload: Payload, bit: int) -> Payload:
    """The payload with one bit of its data changed."""
    copy = Payload()
    copy.CopyFrom(payload)
    data = bytearray(copy.data)
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    copy.data = bytes(data)
    return copy


def flipped_metadata(payload: Payload, name: str, bit: int) -> Payload:
    """The payload with one bit of one metadata value changed."""
    copy = Payload()
    copy.CopyFrom(payload)
    value = bytearray(copy.metadata[name])
    value[bit // 8 % len(value)] ^= 1 << bit % 8
    copy.metadata[name] = bytes(value)
    return copy
