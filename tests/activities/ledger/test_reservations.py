from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from activities.ledger.ledger import Ledger
from activities.ledger.reservations import Taken
from tests.activities.ledger.making import at_once

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def up_to(limit: int) -> Callable[[str, Taken], str]:
    return lambda target_id, taken: "" if taken.targets < limit else f"{taken.targets} before {target_id}"


def reserve(
    ledger: Ledger, incident: str, *targets: str, limit: int = 2, at: datetime = NOW, hold: bool = True
) -> dict[str, str]:
    """`web:shop` is web, of the group app=shop."""
    groups = {name: f"app={app}" if app else "" for name, _, app in (target.partition(":") for target in targets)}
    return ledger.reservations.reserve(incident, groups, up_to(limit), at, hold=hold)


def taken(ledger: Ledger, target: str, group: str = "", at: datetime = NOW) -> Taken:
    seen: list[Taken] = []

    def look(_: str, found: Taken) -> str:
        seen.append(found)
        return "only looking"

    ledger.reservations.reserve("inc-0", {target: group}, look, at)
    return seen[0]


def test_targets_are_reserved_up_to_the_limit_across_incidents(ledger: Ledger) -> None:
    assert reserve(ledger, "inc-1", "web") == {}
    assert reserve(ledger, "inc-2", "app") == {}
    assert reserve(ledger, "inc-3", "db") == {"db": "2 before db"}


def test_the_targets_of_one_incident_are_taken_one_after_the_other(ledger: Ledger) -> None:
    assert reserve(ledger, "inc-1", "web", "app", "db") == {"db": "2 before db"}


def test_whoever_asks_again_for_the_same_is_counted_once(ledger: Ledger) -> None:
    for _ in range(5):
        assert reserve(ledger, "inc-1", "web") == {}
    assert taken(ledger, "other").targets == 1


def test_a_target_of_two_incidents_is_one_target(ledger: Ledger) -> None:
    assert reserve(ledger, "inc-1", "web", "app") == {}
    assert reserve(ledger, "inc-2", "web") == {}
    assert taken(ledger, "other").targets == 2


def test_a_reservation_counts_for_an_hour(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web", "app")
    assert reserve(ledger, "inc-2", "db", at=NOW + 59 * MINUTE) == {"db": "2 before db"}
    assert reserve(ledger, "inc-2", "db", at=NOW + 60 * MINUTE) == {}


def test_what_waited_counts_from_the_moment_that_it_goes_ahead(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web", "app")
    assert reserve(ledger, "inc-1", "web", "app", at=NOW + 90 * MINUTE) == {}
    assert reserve(ledger, "inc-2", "db", at=NOW + 91 * MINUTE) == {"db": "2 before db"}


def test_what_waited_while_others_went_ahead_is_judged_anew(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web")
    reserve(ledger, "inc-2", "app", "db", at=NOW + 70 * MINUTE)
    assert reserve(ledger, "inc-1", "web", at=NOW + 71 * MINUTE) == {"web": "2 before web"}


def test_what_is_refused_or_only_looked_at_takes_nobodys_place(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web", "app", "db")
    assert reserve(ledger, "inc-9", "mail", limit=9, hold=False) == {}
    assert taken(ledger, "other").targets == 2


def test_a_refusal_gives_no_place_back_that_was_taken(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web", "app")
    assert reserve(ledger, "inc-1", "web", limit=1) == {"web": "1 before web"}
    assert taken(ledger, "other").targets == 2


def test_a_group_is_counted_by_itself(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web:shop", "app:shop", "db", limit=9)

    assert taken(ledger, "mail", "app=shop") == Taken(targets=3, of_group=2)
    assert taken(ledger, "web", "app=shop") == Taken(targets=2, of_group=1)
    assert taken(ledger, "mail", "app=post") == Taken(targets=3, of_group=0)
    assert taken(ledger, "mail") == Taken(targets=3, of_group=0)


def test_the_targets_of_one_incident_count_in_their_group_one_after_the_other(ledger: Ledger) -> None:
    seen: dict[str, int] = {}

    def look(target_id: str, found: Taken) -> str:
        seen[target_id] = found.of_group
        return ""

    ledger.reservations.reserve("inc-1", {"web": "app=shop", "db": "", "app": "app=shop"}, look, NOW)
    assert seen == {"web": 0, "db": 0, "app": 1}


def test_of_many_that_ask_at_once_as_many_get_through_as_may(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]

    answers = at_once([partial(reserve, ledgers[n % 2], f"inc-{n}", f"t{n}", limit=3) for n in range(8)])

    assert sum(answer == {} for answer in answers) == 3


def test_reservations_outlive_the_process_that_made_them(open_ledger: Callable[[], Ledger]) -> None:
    reserve(open_ledger(), "inc-1", "web", "app")
    assert reserve(open_ledger(), "inc-2", "db") == {"db": "2 before db"}


def test_what_counts_no_more_is_not_kept_for_ever(ledger: Ledger) -> None:
    reserve(ledger, "inc-1", "web")
    reserve(ledger, "inc-2", "app", at=NOW + timedelta(days=2))
    with ledger._database.read() as connection:
        rows = connection.exec_driver_sql("select target_id from containments").scalars().all()
    assert rows == ["app"]
