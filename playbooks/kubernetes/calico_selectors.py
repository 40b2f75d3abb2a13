"""Calico's selector expressions: read, evaluated, and written for a labelSelector.

Owns the language as far as it is documented. What it does not know raises: a selector that is guessed at could hide a
policy that lets traffic in. https://docs.tigera.io/calico/latest/reference/resources/globalnetworkpolicy#selector

    parse("app == 'web' && !has(debug)").holds({"app": "web"})   # -> True
    written({"matchLabels": {"app": "web"}})                     # -> "app == 'web'"
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import JsonValue

from playbooks.kubernetes.selectors import Requirement, SelectorUnknown, requirements

_TOKEN = re.compile(
    r"\s*(?P<token>'[^']*'|\"[^\"]*\"|&&|\|\||==|!=|[!(){},]|[A-Za-z0-9_./-]+)|\s*(?P<wrong>\S)",
)
_PARSED_AT_MOST = 4096
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda value, part: part in value,
    "starts": str.startswith,
    "ends": str.endswith,
}


@dataclass(frozen=True)
class Expression:
    """A selector that was read. `keys`: every label that it asks for."""

    holds: Callable[[Mapping[str, str]], bool]
    keys: frozenset[str] = frozenset()

    def negated(self) -> "Expression":
        """What matches exactly where this one does not."""
        return Expression(lambda labels: not self.holds(labels), self.keys)


EVERYTHING = Expression(lambda _labels: True)


@lru_cache(maxsize=_PARSED_AT_MOST)
def parse(text: str) -> Expression:
    """Read a selector; an empty one matches everything.

    Raises:
        SelectorUnknown: it is not in the language as we know it.
    """
    if not text.strip():
        return EVERYTHING
    reader = _Reader(text)
    found = reader.either()
    reader.end()
    return found


def written(selector: JsonValue) -> str:
    """A labelSelector in Calico's language."""
    return " && ".join(map(_written, requirements(selector))) or "all()"


def _written(need: Requirement) -> str:
    values = ", ".join(f"'{value}'" for value in need.values)
    match need.operator:
        case "In":
            return f"{need.key} == {values}" if len(need.values) == 1 else f"{need.key} in {{ {values} }}"
        case "NotIn":
            return f"{need.key} not in {{ {values} }}"
        case "Exists":
            return f"has({need.key})"
        case "DoesNotExist":
            return f"!has({need.key})"
        case _:
            raise SelectorUnknown(f"Operator {need.operator!r} on label {need.key!r} is not known.")


class _Reader:
    """Reads one expression by recursive descent: `||` binds weaker than `&&`, that weaker than `!`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        for found in _TOKEN.finditer(text):
            if found["wrong"]:
                raise self._unknown(found["wrong"])
            if found["token"]:
                self._tokens.append(found["token"])
        self._tokens.reverse()

    def either(self) -> Expression:
        parts = [self._both()]
        while self._at("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else _joined(parts, any)

    def end(self) -> None:
        if self._tokens:
            raise self._unknown(self._tokens[-1])

    def _both(self) -> Expression:
        parts = [self._one()]
        while self._at("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _joined(parts, all)

    def _one(self) -> Expression:
        if self._at("!"):
            return self._one().negated()
        if self._at("("):
            inner = self.either()
            self._expect(")")
            return inner
        word = self._next()
        if word in ("all", "has") and self._at("("):
            return self._call(word)
        return self._test(word)

    def _call(self, name: str) -> Expression:
        if name == "all":
            self._expect(")")
            return EVERYTHING
        key = self._next()
        self._expect(")")
        return Expression(lambda labels: key in labels, frozenset({key}))

    def _test(self, key: str) -> Expression:
        operator = self._next()
        if operator in ("==", "!="):
            value = self._literal()
            found = Expression(lambda labels: labels.get(key) == value, frozenset({key}))
            return found if operator == "==" else found.negated()
        if operator in _TEXT_TESTS:
            return self._text_test(key, operator)
        negative = operator == "not"
        if negative:
            operator = self._next()
        if operator != "in":
            raise self._unknown(operator)
        values = self._values()
        found = Expression(lambda labels: labels.get(key) in values, frozenset({key}))
        return found.negated() if negative else found

    def _text_test(self, key: str, operator: str) -> Expression:
        if operator != "contains":
            self._expect("with")
        part, test = self._literal(), _TEXT_TESTS[operator]
        return Expression(lambda labels: key in labels and test(labels[key], part), frozenset({key}))

    def _values(self) -> frozenset[str]:
        self._expect("{")
        values = set()
        while not self._at("}"):
            values.add(self._literal())
            self._at(",")
        return frozenset(values)

    def _literal(self) -> str:
        token = self._next()
        if token[0] not in "'\"":
            raise self._unknown(token)
        return token[1:-1]

    def _next(self) -> str:
        if not self._tokens:
            raise self._unknown("the end")
        return self._tokens.pop()

    def _at(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._at(token):
            raise self._unknown(self._tokens[-1] if self._tokens else "the end")

    def _unknown(self, where: str) -> SelectorUnknown:
        return SelectorUnknown(f"Calico's selector {self._text!r} can't be read at {where!r}.")


def _joined(parts: list[Expression], how: Callable[..., bool]) -> Expression:
    keys = frozenset[str]().union(*(part.keys for part in parts))
    return Expression(lambda labels: how(part.holds(labels) for part in parts), keys)
