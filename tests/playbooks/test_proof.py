"""Proof: what measurements add up to, and that a subject's own words never make it effective."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.proof import Aspect, Measurement, Result, conclude

NOW = datetime(2031, 5, 1, tzinfo=UTC)
TRAFFIC: tuple[Aspect, ...] = ("new", "established", "ipv6")


def measured(
    aspect: Aspect,
    result: Result,
    witness: str = "app",
    subject: str = "web",
    *,
    applicable: bool = True,
    method: str = "m",
) -> Measurement:
    return Measurement(
        aspect=aspect,
        result=result,
        method=method,
        witness=witness,
        subject=subject,
        measured_at=NOW,
        applicable=applicable,
    )


LIFELINE = measured("lifeline", "open", witness="web")
CUT = tuple(measured(aspect, "cut") for aspect in TRAFFIC)


def without(aspect: Aspect) -> tuple[Measurement, ...]:
    return tuple(m for m in CUT if m.aspect != aspect)


def test_everything_cut_and_a_living_lifeline_is_effective() -> None:
    proof = conclude((*CUT, LIFELINE))

    assert (proof.verdict, proof.reasons) == ("effective", ())


@pytest.mark.parametrize("aspect", TRAFFIC)
@pytest.mark.parametrize("result", ["open", "unknown"])
def test_one_kind_of_traffic_that_is_not_cut_makes_it_partial(aspect: Aspect, result: Result) -> None:
    proof = conclude((*without(aspect), measured(aspect, result), LIFELINE))

    assert proof.verdict == "partial"
    assert proof.reasons == (f"{aspect} traffic is {result}",)


def test_one_witness_that_gets_through_outweighs_all_who_do_not() -> None:
    assert conclude((*CUT, measured("new", "open", "db"), LIFELINE)).new == "open"


def test_a_lifeline_that_is_dead_or_silent_is_never_effective() -> None:
    dead = conclude((*CUT, LIFELINE, measured("lifeline", "cut", witness="web")))

    assert (dead.verdict, dead.lifeline) == ("partial", "cut")
    assert conclude(CUT).verdict == "partial"


def test_what_a_host_says_of_itself_is_kept_and_proves_nothing() -> None:
    own = tuple(measured(aspect, "cut", witness="web") for aspect in TRAFFIC)
    proof = conclude((*own, LIFELINE))

    assert proof.verdict == "unproven"
    assert proof.measurements == (*own, LIFELINE)


def test_nothing_measured_is_unproven() -> None:
    assert conclude(()).verdict == "unproven"


def test_a_host_without_ipv6_can_still_be_cut_off() -> None:
    idle = measured("ipv6", "unknown", applicable=False)

    assert conclude((*without("ipv6"), idle, LIFELINE)).verdict == "effective"


def test_one_witness_with_something_to_measure_is_enough_to_have_to_measure_it() -> None:
    idle = measured("ipv6", "unknown", applicable=False)

    assert conclude((*without("ipv6"), idle, measured("ipv6", "unknown", "db"), LIFELINE)).verdict == "partial"


def test_a_host_of_which_nothing_can_be_measured_is_unproven() -> None:
    idle = tuple(measured(aspect, "unknown", applicable=False) for aspect in TRAFFIC)

    assert conclude((*idle, LIFELINE)).verdict == "unproven"


def test_what_is_open_is_never_nothing_to_measure() -> None:
    open_all_the_same = measured("ipv6", "open", applicable=False)

    assert conclude((*without("ipv6"), open_all_the_same, LIFELINE)).verdict == "partial"


def test_bystanders_are_fine_when_each_service_is_reached_by_somebody() -> None:
    reached = measured("bystander", "open", subject="db", method="tcp-connect db:5432")
    missed = measured("bystander", "cut", "db", method="tcp-connect app:8000")

    assert conclude((*CUT, LIFELINE, reached)).bystanders == "open"
    assert conclude((*CUT, LIFELINE, reached, missed)).bystanders == "unknown"
    assert conclude((*CUT, LIFELINE)).bystanders == "unknown"


measurements = st.builds(
    measured,
    st.sampled_from(get_args(Aspect)),
    st.sampled_from(get_args(Result)),
    st.sampled_from(["web", "app", "db"]),
    st.just("web"),
    applicable=st.booleans(),
)
many = st.lists(measurements, max_size=12).map(tuple)


@given(many)
def test_effective_means_that_another_host_saw_a_cut_and_nobody_saw_an_opening(
    found: tuple[Measurement, ...],
) -> None:
    if conclude(found).verdict != "effective":
        return
    others = [m for m in found if m.witness != "web"]
    assert any(m.aspect in TRAFFIC and m.result == "cut" for m in others)
    assert not any(m.aspect in TRAFFIC and m.result == "open" for m in others)
    assert any(m.aspect == "lifeline" and m.result == "open" for m in found)
    assert not any(m.aspect == "lifeline" and m.result == "cut" for m in found)


@given(many)
def test_own_words_about_traffic_change_no_verdict(found: tuple[Measurement, ...]) -> None:
    heard = tuple(m for m in found if m.witness != "web" or m.aspect == "lifeline")

    assert conclude(found).verdict == conclude(heard).verdict


@given(many, st.sampled_from(TRAFFIC))
def test_an_opening_that_another_host_saw_never_improves_the_verdict(
    found: tuple[Measurement, ...], aspect: Aspect
) -> None:
    rank = {"unproven": 0, "partial": 1, "effective": 2}
    worse = conclude((*found, measured(aspect, "open")))

    assert worse.verdict != "effective"
    assert rank[worse.verdict] <= max(rank[conclude(found).verdict], 1)


@given(many, st.randoms())
def test_the_order_of_the_answers_does_not_matter(found: tuple[Measurement, ...], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random

    assert conclude(tuple(shuffled)).verdict == conclude(found).verdict
