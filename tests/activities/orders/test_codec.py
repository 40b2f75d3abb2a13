"""The codecs: what is signed, what is sealed, and that nothing altered passes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import ActivitySerializationContext, DataConverter

from activities.contracts.host import Pinged
from activities.orders.codec import SEAL as SEAL_NAME
from activities.orders.codec import SIGNATURE, VERIFIED, Seal, SealBroken, order_verdict
from tests.activities.orders.payloads import (
    CONTROL,
    OTHER,
    STEP,
    WORKFLOW,
    agent,
    answered,
    control,
    flipped,
    flipped_metadata,
    order,
    read,
    signed,
    step,
    verdict_on,
)

PINGED = Pinged(at=datetime(2031, 5, 1, tzinfo=UTC))
ELSEWHERE = {
    "another host": step(activity_task_queue="host.app"),
    "another verb": step(activity_type="release_host"),
    "another workflow": step(workflow_id="incident-2"),
    "a boundary moved": step(workflow_id="incident-1p", activity_type="ing_host"),
}
bits = st.integers(min_value=0, max_value=2**16)


async def test_an_order_of_ours_is_verified() -> None:
    assert await verdict_on(await signed(order())) == VERIFIED


async def test_an_order_travels_as_it_was_given() -> None:
    given_order = order()
    [received] = await agent().with_context(STEP).decode([await signed(given_order)], [type(given_order)])

    assert received == given_order


async def test_an_unsigned_order_is_not_verified() -> None:
    [plain] = await pydantic_data_converter.encode([order()])

    assert await verdict_on(plain) == "it is not signed"


async def test_an_order_signed_by_another_key_is_not_verified() -> None:
    [forged] = await control(OTHER).with_context(STEP).encode([order()])

    assert "not by the pinned control key" in str(await verdict_on(forged))


@pytest.mark.parametrize("context", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_an_order_moved_to_another_step_is_not_verified(context: ActivitySerializationContext) -> None:
    assert await verdict_on(await signed(order()), context) != VERIFIED


async def test_a_result_is_no_order() -> None:
    assert await verdict_on(await answered(PINGED, CONTROL)) != VERIFIED


async def test_what_does_not_come_by_a_hosts_queue_is_no_order() -> None:
    verdict = await verdict_on(await signed(order()), step(activity_task_queue="control"))

    assert verdict == "it did not come by this host's queue"


async def test_an_order_has_one_payload() -> None:
    codec = agent().with_context(STEP).payload_codec
    assert codec is not None
    payload = await signed(order())
    await codec.decode([payload, payload])

    assert order_verdict.get() == "it carries 2 payloads, expected one"


async def test_a_process_without_the_key_gives_no_orders() -> None:
    with pytest.raises(SealBroken, match="gives no orders"):
        await control(None).with_context(STEP).encode([order()])


@given(bit=bits)
async def test_an_order_with_any_bit_flipped_is_not_verified(bit: int) -> None:
    payload = await signed(order(order_id="o.1"))

    assert await verdict_on(flipped(payload, bit)) != VERIFIED
    assert await verdict_on(flipped_metadata(payload, SIGNATURE, bit)) != VERIFIED
    assert await verdict_on(flipped_metadata(payload, "encoding", bit)) != VERIFIED


@given(bit=bits)
async def test_a_result_with_any_bit_flipped_is_attested_by_nobody(bit: int) -> None:
    payload = await answered(PINGED)

    assert await attested(flipped_metadata(payload, SIGNATURE, bit)) is None
    assert await attested(flipped_metadata(payload, "encoding", bit)) is None
    assert await attested(flipped(payload, bit)) is None


async def attested(payload: Payload) -> str | None:
    codec = control().with_context(STEP).payload_codec
    assert codec is not None
    [marked] = await codec.decode([payload])
    document = json.loads(marked.data)
    return document["attested_by"] if document else None


async def test_a_result_is_attested_by_the_host_that_signed_it() -> None:
    assert (await read(await answered(PINGED))).attested_by == "web"


@pytest.mark.parametrize("claim", ["web", "app", None])
async def test_what_a_host_writes_about_its_own_attestation_is_discarded(claim: str | None) -> None:
    claimed = PINGED.model_copy(update={"attested_by": claim})

    assert (await read(await answered(claimed, OTHER))).attested_by is None
    assert (await read(await answered(claimed))).attested_by == "web"


async def test_a_result_without_a_signature_is_attested_by_nobody() -> None:
    [plain] = await pydantic_data_converter.encode([PINGED.model_copy(update={"attested_by": "web"})])

    assert (await read(plain)).attested_by is None


@pytest.mark.parametrize("context", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_result_moved_to_another_step_is_attested_by_nobody(
    context: ActivitySerializationContext,
) -> None:
    assert (await read(await answered(PINGED), context)).attested_by is None


async def test_a_host_that_never_joined_attests_nothing() -> None:
    context = step(activity_task_queue="host.stranger")

    assert (await read(await answered(PINGED, OTHER, context), context)).attested_by is None


@given(data=st.binary(max_size=200), encoding=st.sampled_from(["json/plain", "binary/plain", "other/kind", ""]))
async def test_no_answer_of_a_host_is_unreadable(data: bytes, encoding: str) -> None:
    await readable(Payload(metadata={"encoding": encoding.encode()}, data=data))


async def test_an_answer_nested_too_deep_is_read_as_nothing() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000

    assert await readable(Payload(metadata={"encoding": b"json/plain"}, data=deep)) is None


async def readable(payload: Payload) -> Any:
    [value] = await control().with_context(STEP).decode([payload])
    return value


async def test_what_passes_inside_the_control_plane_is_sealed_and_opens_again() -> None:
    converter = control().with_context(WORKFLOW)
    [payload] = await converter.encode([PINGED])

    assert SEAL_NAME in payload.metadata
    assert await converter.decode([payload], [Pinged]) == [PINGED]


async def test_the_api_opens_what_the_worker_sealed() -> None:
    [payload] = await control().with_context(WORKFLOW).encode([PINGED])

    assert await control(None).with_context(WORKFLOW).decode([payload], [Pinged]) == [PINGED]


async def broken(converter: DataConverter, payload: Payload) -> bool:
    try:
        await converter.decode([payload], [Pinged])
    except SealBroken:
        return True
    return False


@given(bit=bits)
async def test_a_sealed_payload_with_any_bit_flipped_is_refused(bit: int) -> None:
    converter = control().with_context(WORKFLOW)
    [payload] = await converter.encode([PINGED])

    assert await broken(converter, flipped(payload, bit))
    assert await broken(converter, flipped_metadata(payload, SEAL_NAME, bit))
    assert await broken(converter, flipped_metadata(payload, "encoding", bit))


async def test_a_payload_without_a_seal_is_refused() -> None:
    [plain] = await pydantic_data_converter.encode([PINGED])

    assert await broken(control().with_context(WORKFLOW), plain)


async def test_a_seal_of_another_key_is_refused() -> None:
    [payload] = await control(seal=Seal(b"guessed")).with_context(WORKFLOW).encode([PINGED])

    assert await broken(control().with_context(WORKFLOW), payload)


async def test_a_payload_of_another_workflow_is_refused() -> None:
    other = type(WORKFLOW)(namespace="default", workflow_id="incident-2")
    [payload] = await control().with_context(other).encode([PINGED])

    assert await broken(control().with_context(WORKFLOW), payload)


async def test_an_order_is_no_sealed_payload() -> None:
    assert await broken(control().with_context(WORKFLOW), await signed(order()))
