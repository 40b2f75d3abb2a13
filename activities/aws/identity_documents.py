"""Times in policy documents: written for placeholders, and read back as placeholders.

Owns the form of a time, that it is UTC whatever zone this process lives in, and that our statement is compared by what
it means, not by how AWS spells it. Never touches a statement that is not ours: in a document that others write in, ours
is known by its Sid; where the whole document is ours, every statement is.

    text = written(document, standing, moment)   # '..."aws:TokenIssueTime":"2026-03-01T12:00:01Z"...'
    read(json.loads(text))                       # '..."aws:TokenIssueTime":"@applied-at"...'
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.killswitch.platform import Moment
from playbooks.aws.denials import ISSUED, NOW, statements_of
from playbooks.change import APPLIED_AT, LEASE_LAPSED, LEASE_UNTIL

# IAM user guide, "Date condition operators": ISO 8601 as the W3C profiles it. Without zone it says no moment.
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})")
FORM = "%Y-%m-%dT%H:%M:%SZ"


def read(document: Any, ours: str | None = None) -> Any:
    """The document with placeholders for the times in our statement; an end that has passed is `@lease-lapsed`."""
    return _with_ours(document, ours, lambda statement: _canonical(_with_times(statement, _placeholder)))


def written(document: Any, standing: Any, moment: Moment, ours: str | None = None) -> str:
    """The document as text with times for placeholders; `standing` is what is there now, as AWS has it.

    Sessions that were issued since ours stands are not ours to revoke: a repeat or a renewal keeps the first time.
    """
    kept = _issue_time(standing) if read(standing, ours) == document else ""
    times = {APPLIED_AT: kept or _issued(moment), LEASE_UNTIL: _utc(moment.lease_until).strftime(FORM)}
    filled = _with_ours(
        document, ours, lambda statement: _with_times(statement, lambda _, value: times.get(value, value))
    )
    return json.dumps(filled, separators=(",", ":"), ensure_ascii=False)


def _issued(moment: Moment) -> str:
    """Now, rounded up: STS counts in whole seconds, and a session of this very second has to be denied too."""
    now = max(_utc(moment.applied_at), datetime.now(UTC))
    return (now + timedelta(seconds=1) if now.microsecond else now).strftime(FORM)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no zone, so it is no moment; expected an aware time.")
    return moment.astimezone(UTC)


def _placeholder(key: str, value: Any) -> Any:
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    if key == ISSUED:
        return APPLIED_AT
    return LEASE_UNTIL if moment > datetime.now(UTC) else LEASE_LAPSED


def _issue_time(standing: Any) -> str:
    dates = (each.get("Condition", {}).get("DateLessThan", {}) for each in statements_of(standing))
    return next((str(date[ISSUED]) for date in dates if ISSUED in date), "")


def _with_ours(document: Any, ours: str | None, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    found = statements_of(document)
    mine = [ours is None or each.get("Sid") == ours for each in found]
    if not any(mine):
        return document
    return document | {"Statement": [change(each) if own else each for each, own in zip(found, mine, strict=True)]}


def _with_times(statement: dict[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not isinstance(condition.get("DateLessThan"), dict):
        return statement
    dates = condition["DateLessThan"]
    times = {key: change(key, value) if key in (ISSUED, NOW) else value for key, value in dates.items()}
    return statement | {"Condition": condition | {"DateLessThan": times}}


def _canonical(value: Any) -> Any:
    """Lists in one order, a list of one as its only value: AWS gives both back as it likes."""
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else sorted(value, key=json.dumps)
