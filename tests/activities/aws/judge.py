"""What policies mean, for a few requests: the server here keeps documents and does not evaluate their conditions.

Knows statements with Action, Effect and the conditions that Firebreak writes, as the IAM user guide's "Policy
evaluation logic" has them: an explicit deny outweighs every allow, and a negated operator holds where its key is not.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

ISSUED, NOW, WHO = "aws:TokenIssueTime", "aws:CurrentTime", "aws:PrincipalArn"
Context = Mapping[str, Any]


def allowed(documents: Iterable[Any], action: str, context: Context) -> bool:
    """Whether policies that apply together let a request pass."""
    matching = [each for document in documents for each in _statements(document) if _applies(each, action, context)]
    effects = {statement["Effect"] for statement in matching}
    return "Allow" in effects and "Deny" not in effects


def session(issued: datetime, at: datetime | None = None) -> Context:
    """A request that is signed with a session issued then."""
    return {ISSUED: issued, NOW: at or datetime.now(UTC)}


def principal(arn: str | None, at: datetime | None = None) -> Context:
    """A request of somebody; None: anonymous."""
    return {NOW: at or datetime.now(UTC)} | ({WHO: arn} if arn else {})


def _statements(document: Any) -> list[dict[str, Any]]:
    found = document["Statement"] if document else []
    return found if isinstance(found, list) else [found]


def _applies(statement: dict[str, Any], action: str, context: Context) -> bool:
    actions = any(fnmatchcase(action, pattern) for pattern in _list(statement["Action"]))
    conditions = statement.get("Condition", {})
    return actions and all(
        OPERATORS[operator](context.get(key), _list(values))
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _earlier(value: datetime | None, limits: list[str]) -> bool:
    return value is not None and any(value < datetime.fromisoformat(limit) for limit in limits)


def _unlike(value: str | None, patterns: list[str]) -> bool:
    return value is None or not any(fnmatchcase(value, pattern) for pattern in patterns)


OPERATORS: Mapping[str, Callable[[Any, list[str]], bool]] = {"DateLessThan": _earlier, "ArnNotLike": _unlike}
