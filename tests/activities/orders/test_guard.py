"""The guard of an agent, over a real queue: what it refuses, what it carries out once."""

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter

from segmentation.errors import FirebreakError
from tests.activities.orders.agent import Bench, Busy, LosesAnswers, reported_failure
from tests.activities.orders.payloads import OTHER, control, order


async def test_an_order_is_carried_out_and_its_result_attested(bench: Bench) -> None:
    await bench.start()

    [pinged] = await bench.give(order())

    assert pinged.attested_by == "web"
    assert bench.pings == 1
    assert bench.reported == []


async def test_an_unsigned_order_is_refused_and_reported(bench: Bench) -> None:
    await bench.start()

    refusal = await bench.refusal(order("o.1"), converter=pydantic_data_converter)

    assert (refusal.type, refusal.non_retryable) == ("order-refused", True)
    assert refusal.message == "Order o.1 (ping_host) was refused: it is not signed."
    assert refusal.details == ("Look at the audit chain: firebreak audit list.",)
    assert bench.reported == [("o.1", "ping_host", "it is not signed")]
    assert bench.pings == 0


async def test_an_order_signed_by_another_key_is_refused(bench: Bench) -> None:
    await bench.start()

    refusal = await bench.refusal(order(), converter=control(OTHER))

    assert "its signature is not by the pinned control key" in refusal.message
    assert bench.pings == 0


async def test_an_order_for_another_host_is_refused_by_this_one(bench: Bench) -> None:
    await bench.start()

    refusal = await bench.refusal(order(host="app"))

    assert refusal.message.endswith("it is addressed to app, this is web.")
    assert bench.pings == 0


async def test_an_expired_order_is_refused_and_says_so_by_its_type(bench: Bench) -> None:
    await bench.start()

    refusal = await bench.refusal(order(life=-1))

    assert (refusal.type, refusal.non_retryable) == ("order-expired", True)
    assert "it expired at" in refusal.message
    assert bench.pings == 0


async def test_a_call_without_an_order_is_refused(bench: Bench) -> None:
    await bench.start()

    with pytest.raises(WorkflowFailureError) as caught:
        await bench.give_nothing()

    assert "it carries no payload" in reported_failure(caught.value).message
    assert bench.pings == 0


async def test_an_order_that_comes_back_from_another_workflow_is_refused(bench: Bench) -> None:
    await bench.start()
    await bench.give(order("o.1"))

    refusal = await bench.refusal(order("o.1"))

    assert "Order o.1 was given by orders-" in refusal.message
    assert bench.pings == 1


async def test_an_order_that_comes_back_from_another_step_of_its_workflow_is_refused(bench: Bench) -> None:
    await bench.start()

    refusal = await bench.refusal(order("o.1"), order("o.1"))

    assert "and came back from orders-" in refusal.message
    assert bench.pings == 1


async def test_a_retry_is_answered_from_the_journal_without_doing_it_again(bench: Bench) -> None:
    loses = LosesAnswers(1)
    await bench.start(loses)

    [pinged] = await bench.give(order())

    assert (bench.pings, loses.count) == (1, 0)
    assert pinged.attested_by == "web"


async def test_an_attempt_that_failed_is_made_again(bench: Bench) -> None:
    bench.troubles = [Busy("nft is busy")]
    await bench.start()

    await bench.give(order())

    assert bench.pings == 2


async def test_an_error_that_no_retry_helps_is_not_retried_and_keeps_code_and_hint(bench: Bench) -> None:
    bench.troubles = [FirebreakError("nft is not here", hint="Install nftables.")]
    await bench.start()

    refusal = await bench.refusal(order())

    assert (refusal.type, refusal.message) == ("firebreak-error", "nft is not here")
    assert (refusal.details, refusal.non_retryable) == (("Install nftables.",), True)
    assert bench.pings == 1
