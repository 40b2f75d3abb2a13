from collections.abc import Callable
from functools import partial

from activities.ledger.ledger import Ledger
from tests.activities.ledger.making import at_once


def counted(ledger: Ledger) -> dict[tuple[str, str], int]:
    return {(entry.source, entry.reason): entry.count for entry in ledger.refusals.counts()}


def test_refusals_are_counted_by_source_and_reason(ledger: Ledger) -> None:
    for reason in ("stale", "stale", "oversized"):
        ledger.refusals.count("siem", reason)
    assert counted(ledger) == {("siem", "oversized"): 1, ("siem", "stale"): 2}


def test_refusals_at_once_are_all_counted(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    at_once([partial(ledgers[n % 2].refusals.count, "siem", "stale") for n in range(8)])
    assert counted(ledgers[0]) == {("siem", "stale"): 8}
