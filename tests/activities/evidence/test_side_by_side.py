"""Many at once: the bound holds, and results and errors are those of one after another."""

import threading

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities.evidence.side_by_side import WIDTH, side_by_side


def test_as_many_as_are_allowed_are_under_way_at_once() -> None:
    """Each waits until all of them have begun: one after another would never end."""
    everyone = threading.Barrier(WIDTH, timeout=10)
    assert sorted(side_by_side(lambda _: everyone.wait(), range(WIDTH))) == list(range(WIDTH))


def test_no_more_than_that_are_under_way_and_results_keep_the_order() -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        threading.Event().wait(0.001)
        with lock:
            under_way -= 1
        return number * 2

    assert side_by_side(work, range(200)) == [number * 2 for number in range(200)]
    assert most <= WIDTH


def test_first_error_in_order_is_raised_though_a_later_one_came_sooner() -> None:
    later_failed = threading.Event()

    def work(number: int) -> None:
        if number == 3:
            assert later_failed.wait(10)
            raise ValueError("the third")
        if number == 7:
            later_failed.set()
            raise ValueError("the seventh")

    with pytest.raises(ValueError, match="the third"):
        side_by_side(work, range(10))


def test_nothing_is_begun_after_an_error_and_what_was_begun_is_ended() -> None:
    begun, ended, failed = list[int](), list[int](), threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            failed.set()
            raise ValueError("the first")
        assert failed.wait(10)
        threading.Event().wait(0.05)
        ended.append(number)

    with pytest.raises(ValueError, match="the first"):
        side_by_side(work, range(1000))
    assert sorted(begun) == [0, *sorted(ended)]
    assert len(begun) < 10 * WIDTH


def test_nothing_and_one_thing_need_nobody_else() -> None:
    assert side_by_side(lambda _: threading.get_ident(), []) == []
    assert side_by_side(lambda _: threading.get_ident(), [1]) == [threading.get_ident()]


def test_who_runs_inside_an_activity_does_so_in_these_threads_too() -> None:
    def work() -> list[bool]:
        return side_by_side(lambda _: activity.in_activity(), range(3))

    assert ActivityEnvironment().run(work) == [True] * 3
