"""A platform with more than one answer holds: what is left out is said, and is in its document."""

from datetime import UTC, datetime

from activities.contracts.collecting import MAX_ITEMS
from activities.contracts.evidence import Acquisition, Outcome
from activities.evidence.platforms.collect import at_most
from activities.evidence.platforms.folder import Reading

NOW = datetime(2031, 5, 1, tzinfo=UTC)


def reading(collector: str, place: int) -> Reading:
    return Reading(
        collector=collector,
        place=place,
        label=f"{collector}-{place}",
        name=f"{collector}-{place}.json",
        kind="kubernetes",
        media_type="application/json",
        outcome=Outcome(state="collected"),
        acquisition=Acquisition(tool="tests", started=NOW, ended=NOW),
        rank=3,
        has_body=True,
    )


def test_of_thousands_of_logs_the_first_and_their_list_are_handed_over() -> None:
    others = [reading("events", 0), reading("objects", 0)]
    found = [*others, *(reading("logs", place) for place in range(MAX_ITEMS + 100))]

    told = at_most(MAX_ITEMS, found)

    assert len(told) == MAX_ITEMS
    assert told[:-2] == found[: MAX_ITEMS - 2]
    assert told[-1] == found[-1], "the list of all logs"
    assert (told[-2].outcome.state, told[-2].has_body) == ("missing", False)
    assert told[-2].outcome.reason == "103 items of logs are not handed over: a collection has at most 400"


def test_what_fits_is_handed_over_as_it_is() -> None:
    found = [reading("logs", place) for place in range(MAX_ITEMS)]

    assert at_most(MAX_ITEMS, found) == found
