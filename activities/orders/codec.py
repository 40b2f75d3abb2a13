"""Signatures on what goes to a host's queue and on what comes back, and a seal on everything else.

Owns two payload codecs. They run outside the workflow sandbox and cost no extra hop; the serialization context
tells them the queue, the activity and the workflow, all of which the signature covers. Control signs orders and
checks results; an agent checks orders and signs results. What passes between the processes of the control plane
(starts, signals, decisions, results of control activities) is sealed with a key that they share: whoever can write
to Temporal can neither start an incident nor decide on one.

    converter = control_converter(Seal(secret), control_key, ledger.public_key)
    converter = agent_converter(agent_key, pinned_control_key)
"""

import copy
import dataclasses
import hmac
import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic_core import from_json, to_json
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    ActivitySerializationContext,
    CompositePayloadConverter,
    DataConverter,
    EncodingPayloadConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
)

from activities.contracts.orders import HOST_QUEUE_PREFIX
from segmentation.errors import FirebreakError

SIGNATURE = "firebreak-signature"
SEAL = "firebreak-seal"
BROKEN = "firebreak/broken-seal"
_SCHEDULED = re.compile(r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")
KeyLookup = Callable[[str], bytes | None]

# What the codec found about the order that the current activity task decodes; read by the agent's interceptor.
# None: nothing was decoded, so nothing was verified.
order_verdict: ContextVar[str | None] = ContextVar("order_verdict", default=None)
VERIFIED = "verified"


def _signed_bytes(role: bytes, context: ActivitySerializationContext, payload: Payload) -> bytes:
    """What a signature covers: the direction, the step it belongs to, and the payload."""
    names = (context.workflow_id or "", context.activity_type or "", context.activity_task_queue or "")
    parts = [role, *(name.encode() for name in names), payload.metadata.get("encoding", b""), payload.data]
    # Length prefixes: no two different steps spell the same bytes.
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _sign(key: Ed25519PrivateKey, role: bytes, context: ActivitySerializationContext, payload: Payload) -> Payload:
    signed = Payload()
    signed.CopyFrom(payload)
    signed.metadata[SIGNATURE] = key.sign(_signed_bytes(role, context, payload))
    return signed


def _verified(key: bytes | None, role: bytes, context: ActivitySerializationContext, payload: Payload) -> bool:
    if key is None or SIGNATURE not in payload.metadata:
        return False
    try:
        message = _signed_bytes(role, context, payload)
        Ed25519PublicKey.from_public_bytes(key).verify(payload.metadata[SIGNATURE], message)
    except (InvalidSignature, ValueError):
        return False
    return True


class _HostCodec(PayloadCodec, WithSerializationContext):
    """Knows whether the payload at hand belongs to a host's activity."""

    def __init__(self) -> None:
        self._context: ActivitySerializationContext | None = None
        self._workflow_id = ""

    def with_context(self, context: SerializationContext) -> Self:
        """A codec for the payloads of one workflow or activity."""
        bound = copy.copy(self)
        bound.bind(context)
        return bound

    def bind(self, context: SerializationContext) -> None:
        """Take on what the next payloads belong to."""
        self._workflow_id = _series(getattr(context, "workflow_id", None) or "")
        self._context = None
        if isinstance(context, ActivitySerializationContext):
            queue = context.activity_task_queue or ""
            self._context = context if queue.startswith(HOST_QUEUE_PREFIX) else None


def _series(workflow_id: str) -> str:
    """The id without the time that a Schedule adds: each of its runs is handed the result of the one before."""
    return _SCHEDULED.sub("", workflow_id)


class SealBroken(FirebreakError):
    """A payload that none of the control plane's processes wrote for this workflow."""

    code: ClassVar[str] = "seal-broken"


class Seal:
    """HMAC-SHA256 over a payload and the workflow that it belongs to, by a key of the control plane's processes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def close(self, workflow_id: str, payload: Payload) -> Payload:
        """The payload with its seal."""
        sealed = Payload()
        sealed.CopyFrom(payload)
        sealed.metadata[SEAL] = self._over(workflow_id, payload)
        return sealed

    def open(self, workflow_id: str, payload: Payload) -> Payload:
        """The payload if its seal is whole, else one that nobody can read.

        Raising here would fail the whole workflow task: one forged signal would hold up every lease of an incident.
        What can't be read is dropped (a signal), rejected (an update) or never begins (a start), and nothing else is.
        """
        if hmac.compare_digest(payload.metadata.get(SEAL, b""), self._over(workflow_id, payload)):
            return payload
        return Payload(metadata={"encoding": BROKEN.encode()}, data=workflow_id.encode())

    def _over(self, workflow_id: str, payload: Payload) -> bytes:
        parts = (workflow_id.encode(), payload.metadata.get("encoding", b""), payload.data)
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._secret, message, "sha256")


class _BrokenSeal(EncodingPayloadConverter):
    """Refuses to read a payload whose seal was broken, where somebody wants to read it."""

    @property
    def encoding(self) -> str:
        return BROKEN

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002 - never ours to write
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:  # noqa: ARG002 - same
        raise SealBroken(
            f"A payload of workflow {payload.data.decode()} was not written by this control plane.",
            hint="Somebody else writes to this Temporal namespace, or its processes have different keys.",
        )


class SealedPayloadConverter(CompositePayloadConverter):
    """Pydantic models as JSON, and a reason for what can't be read."""

    def __init__(self) -> None:
        super().__init__(*PydanticPayloadConverter().converters.values(), _BrokenSeal())


class ControlCodec(_HostCodec):
    """Signs orders with the control key, marks results with the host that signed them, seals the rest.

    A process that gives no orders (the API) has no `key`.
    """

    def __init__(self, seal: Seal, key: Ed25519PrivateKey | None, host_key: KeyLookup) -> None:
        super().__init__()
        self._seal = seal
        self._key = key
        self._host_key = host_key

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Sign what goes to a host, seal the rest."""
        if self._context is None:
            return [self._seal.close(self._workflow_id, payload) for payload in payloads]
        if self._key is None:
            raise SealBroken("This process gives no orders.", hint="Orders come from the worker.")
        return [_sign(self._key, b"order", self._context, payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Mark what a host sent, open the seal of the rest; raises SealBroken."""
        if self._context is None:
            return [self._seal.open(self._workflow_id, payload) for payload in payloads]
        return [self._mark(payload, self._context) for payload in payloads]

    def _mark(self, payload: Payload, context: ActivitySerializationContext) -> Payload:
        """Set `attested_by` from the signature alone; whatever the host wrote there is overwritten."""
        document = _plain(payload)
        if isinstance(document, dict):
            host = (context.activity_task_queue or "").removeprefix(HOST_QUEUE_PREFIX)
            genuine = _verified(self._host_key(host), b"result", context, payload)
            document["attested_by"] = host if genuine else None
        return Payload(metadata={"encoding": b"json/plain"}, data=to_json(document))


def _plain(payload: Payload) -> Any:
    """What a host wrote, as plain JSON; None where it is none, so that no host can fail a workflow's task by it."""
    if payload.metadata.get("encoding") != b"json/plain":
        return None
    try:
        # The parser of the payload converter: what one of them can't read, the other can't either.
        return from_json(payload.data)
    except ValueError:
        return None


class AgentCodec(_HostCodec):
    """Checks orders against the pinned control key; signs results with the host's key."""

    def __init__(self, key: Ed25519PrivateKey, control_key: bytes) -> None:
        super().__init__()
        self._key = key
        self._control_key = control_key

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Sign results."""
        if self._context is None:
            return list(payloads)
        return [_sign(self._key, b"result", self._context, payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Judge the order; the guard refuses what is not verified."""
        # Only the first decode of a task is its order; heartbeat details follow and must not overrule it.
        if order_verdict.get() is None:
            order_verdict.set(self._judge(payloads))
        return list(payloads)

    def _judge(self, payloads: Sequence[Payload]) -> str:
        if self._context is None:
            return "it did not come by this host's queue"
        if len(payloads) != 1:
            return f"it carries {len(payloads)} payloads, expected one"
        if SIGNATURE not in payloads[0].metadata:
            return "it is not signed"
        genuine = _verified(self._control_key, b"order", self._context, payloads[0])
        return VERIFIED if genuine else "its signature is not by the pinned control key, or is for another step"


def control_converter(seal: Seal, key: Ed25519PrivateKey | None, host_key: KeyLookup) -> DataConverter:
    """Data converter of worker and API: pydantic payloads, orders signed, results checked, the rest sealed."""
    return _converter(ControlCodec(seal, key, host_key))


def agent_converter(key: Ed25519PrivateKey, control_key: bytes) -> DataConverter:
    """Data converter of an agent."""
    return _converter(AgentCodec(key, control_key))


def _converter(codec: PayloadCodec) -> DataConverter:
    plain = DataConverter(payload_converter_class=SealedPayloadConverter)
    return dataclasses.replace(plain, payload_codec=codec)
