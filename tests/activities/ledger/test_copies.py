"""The ledger's marks of what was copied to the vault, on both databases."""

from collections.abc import Callable

from activities.contracts.copies import Copied
from activities.ledger.ledger import Ledger
from tests.activities.ledger.making import at_once
from tests.activities.ledger.test_custody import building, event


def reached(ledger: Ledger, case_id: str = "inc-1") -> tuple[int, int] | None:
    found = ledger.custody.copies.find(case_id)
    return (found.manifests, found.custody) if found else None


def test_a_mark_is_of_its_case_and_only_ever_grows(ledger: Ledger) -> None:
    copies = ledger.custody.copies
    assert reached(ledger) is None
    copies.note("inc-1", manifests=1, custody=3)
    first = copies.find("inc-1")
    assert isinstance(first, Copied)
    copies.note("inc-1", manifests=1, custody=2)
    assert copies.find("inc-1") == first
    copies.note("inc-1", manifests=2, custody=1)
    assert (reached(ledger), reached(ledger, "inc-2")) == ((2, 3), None)


def test_marks_that_are_set_at_once_end_at_the_furthest(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger() for _ in range(4)]

    def noting(ledger: Ledger, number: int) -> Callable[[], None]:
        return lambda: ledger.custody.copies.note("inc-1", manifests=number, custody=9 - number)

    at_once([noting(ledger, number) for number, ledger in enumerate(ledgers)])
    assert reached(ledgers[0]) == (3, 9)


def test_cases_with_links_that_no_mark_reaches_are_behind(ledger: Ledger) -> None:
    copies = ledger.custody.copies
    for case_id in ("inc-1", "inc-2", "inc-3"):
        ledger.custody.append_manifest(case_id, building("packets-1", case_id))
    ledger.custody.append_custody("inc-1", event("collect"))
    assert copies.behind() == ["inc-1", "inc-2", "inc-3"]
    copies.note("inc-1", manifests=1, custody=0)
    copies.note("inc-2", manifests=1, custody=0)
    assert copies.behind() == ["inc-1", "inc-3"]
    copies.note("inc-1", manifests=1, custody=1)
    assert copies.behind() == ["inc-3"]
