from collections.abc import Iterator

from lab.losses import Outage, Sample, first_blocked, runs

MS = 1_000_000


def _samples(pattern: str) -> list[Sample]:
    """One packet a millisecond, newest first; `.` arrived, `x` did not."""
    oldest_first = [Sample(number * MS, delivered=mark == ".") for number, mark in enumerate(pattern, start=1)]
    return oldest_first[::-1]


def test_the_cut_is_the_first_packet_of_the_last_unbroken_run() -> None:
    outage = first_blocked(_samples("...x.." + "x" * 60))
    assert outage == Outage(7 * MS, 66 * MS, 6 * MS, 0, 60)


def test_a_run_that_has_only_just_begun_is_no_cut_yet() -> None:
    assert first_blocked(_samples("..." + "x" * 40)) is None


def test_a_path_that_was_cut_and_opened_is_not_cut() -> None:
    assert first_blocked(_samples("..." + "x" * 80 + ".")) is None


def test_two_lost_packets_far_apart_in_time_are_too_few_to_tell() -> None:
    assert first_blocked([Sample(200 * MS, delivered=False), Sample(100 * MS, delivered=False)]) is None


def test_no_more_packets_are_looked_at_than_needed() -> None:
    def forever() -> Iterator[Sample]:
        while True:
            yield Sample(1, delivered=True)

    assert first_blocked(forever()) is None


def test_strays_and_outages_are_told_apart() -> None:
    found = list(runs(_samples("..x..." + "x" * 60 + "..")))
    assert [(run.packets, run.lasting) for run in found] == [(60, True), (1, False)]
    assert found[0].next_delivered_ns == 67 * MS
    assert found[0].last_delivered_ns == 6 * MS


def test_a_run_before_the_first_arrival_counts_too() -> None:
    assert [run.packets for run in runs(_samples("xxx..xx"))] == [2, 3]
