"""Label selectors, as the API server evaluates them.

Owns matchLabels and matchExpressions (In, NotIn, Exists, DoesNotExist), and which labels of an object a match hangs on.
An operator or a shape that is not known raises: a selector that is guessed at could hide a policy that lets traffic in.

    matches({"matchLabels": {"app": "web"}}, {"app": "web", "tier": "front"})   # -> True
    wanted_keys({"matchLabels": {"app": "web"}})                               # -> {"app"}
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic import JsonValue

from segmentation.errors import FirebreakError

Labels = Mapping[str, str]
_PARTS = frozenset({"matchLabels", "matchExpressions"})


class SelectorUnknown(FirebreakError):
    """A selector that we can't evaluate."""

    code: ClassVar[str] = "selector-unknown"


class Requirement(NamedTuple):
    """One condition on one label; a selector is all of its conditions."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, labels: Labels) -> bool:
        """Whether the labels meet it. NotIn holds too where the label is missing.

        https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#set-based-requirement
        """
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                raise SelectorUnknown(f"Operator {self.operator!r} on label {self.key!r} is not known.")


def matches(selector: JsonValue, labels: Labels) -> bool:
    """Whether a labelSelector matches; an empty one matches all.

    Raises:
        SelectorUnknown: it is no labelSelector as we know it.
    """
    # Nearly every selector is nothing but matchLabels and matches nearly nothing: thousands are asked for one plan.
    if isinstance(selector, dict) and selector.keys() <= _PARTS:
        equal = selector.get("matchLabels")
        if isinstance(equal, dict) and any(labels.get(key) != value for key, value in equal.items()):
            return False
    return all(requirement.holds(labels) for requirement in requirements(selector))


def wanted_keys(selector: JsonValue) -> frozenset[str]:
    """Labels without which the selector does not match: taking one away ends the match."""
    return frozenset(need.key for need in requirements(selector) if need.operator in ("In", "Exists"))


def requirements(selector: JsonValue) -> Iterator[Requirement]:
    """Every condition of a labelSelector."""
    if selector is None:
        return
    if not isinstance(selector, dict) or selector.keys() - _PARTS:
        raise SelectorUnknown(f"{selector!r} is no label selector as we know it.")
    equal = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not isinstance(equal, dict) or not isinstance(expressions, list):
        raise SelectorUnknown(f"{selector!r} is no label selector as we know it.")
    yield from (Requirement(key, "In", (str(value),)) for key, value in equal.items())
    yield from map(_expression, expressions)


def _expression(expression: JsonValue) -> Requirement:
    if not isinstance(expression, dict):
        raise SelectorUnknown(f"{expression!r} is no matchExpression.")
    values = expression.get("values") or []
    if not isinstance(values, list):
        raise SelectorUnknown(f"{expression!r} is no matchExpression.")
    return Requirement(str(expression.get("key")), str(expression.get("operator")), tuple(map(str, values)))


def is_everything(selector: JsonValue) -> bool:
    """Whether it matches whatever labels there are."""
    return not any(True for _ in requirements(selector))


def in_words(selector: JsonValue) -> str:
    """The selector for people: `app=web, tier in (a, b), !debug`; empty: all."""
    return ", ".join(map(_in_words, requirements(selector)))


def _in_words(need: Requirement) -> str:
    many = f"({', '.join(need.values)})"
    match need.operator:
        case "In":
            return f"{need.key}={need.values[0]}" if len(need.values) == 1 else f"{need.key} in {many}"
        case "NotIn":
            return f"{need.key} not in {many}"
        case "Exists":
            return need.key
        case _:
            return f"!{need.key}"
