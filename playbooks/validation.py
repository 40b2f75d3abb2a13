"""Pydantic's findings in the words of people who write YAML.

Owns the translation of a ValidationError into problems with a place, what was expected and what was found.
Never loads anything.

    problems_of(error, parsed, Playbook)   # -> (Problem(... "a whole number", "'ten'"), ...)
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from playbooks.yaml_text import Parsed, Path, Place, Problem, shown
from segmentation.workloads import Name

Context = Mapping[str, Any]

_NAME = next(part.pattern for part in get_args(Name) if isinstance(part, StringConstraints))
_PATTERNS: dict[Any, str] = {
    _NAME: "a name of letters, digits, dots, dashes and underscores, a letter or digit at both ends",
}
_EXPECTED: dict[str, Callable[[Context], str]] = {
    "literal_error": lambda ctx: str(ctx["expected"]).replace("'", ""),
    "string_type": lambda _: "text",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "bool_type": lambda _: "true or false",
    "tuple_type": lambda _: "a list",
    "dict_type": lambda _: "a mapping",
    "model_type": lambda _: "a mapping",
    "greater_than_equal": lambda ctx: f"{ctx['ge']} or more",
    "greater_than": lambda ctx: f"more than {ctx['gt']}",
    "less_than_equal": lambda ctx: f"{ctx['le']} or less",
    "less_than": lambda ctx: f"less than {ctx['lt']}",
    "too_short": lambda ctx: f"at least {_count(ctx['min_length'])}",
    "too_long": lambda ctx: f"at most {_count(ctx['max_length'])}",
    "string_too_short": lambda ctx: f"text of {ctx['min_length']} characters or more",
    "string_too_long": lambda ctx: f"text of {ctx['max_length']} characters or fewer",
    "ip_any_network": lambda _: "a network such as 10.0.0.0/8 or fd00::/8, no bit set behind its prefix",
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], f"text that matches {ctx['pattern']}"),
}
_HINTS = {
    "string_type": "put it in quotes if it is meant as text",
    "int_type": "leave the quotes out if it is meant as a number",
    "tuple_type": "start each entry with a dash, or use [ ]",
}


def problems_of(error: ValidationError, parsed: Parsed, model: type[BaseModel]) -> tuple[Problem, ...]:
    """One problem for each finding, in the order of their places."""
    # Values refused while reading stand as nothing here: what follows from that is no news.
    known = {(problem.path, problem.place) for problem in parsed.problems}
    details = (one for one in error.errors(include_url=False) if not _echo(one))
    problems = (_problem(one, parsed, model) for one in details)
    return tuple(problem for problem in problems if (problem.path, problem.place) not in known)


def _echo(details: ErrorDetails) -> bool:
    """Whether a list is called too short only because its entries were refused, which is told already."""
    given = details["input"]
    return details["type"] == "too_short" and isinstance(given, list) and len(given) >= details["ctx"]["min_length"]


def _problem(details: ErrorDetails, parsed: Parsed, model: type[BaseModel]) -> Problem:
    kind, path = details["type"], _known(details["loc"], parsed)
    if kind == "extra_forbidden":
        return _unknown_field(path, parsed, model)
    if kind == "missing":
        missing = (*path, details["loc"][-1])
        return Problem(parsed.source, _place(path, parsed), missing, "this field", "nothing")
    expected = _EXPECTED[kind](details.get("ctx", {})) if kind in _EXPECTED else details["msg"]
    hint = _HINTS.get(kind, "") if isinstance(details["input"], str | int | float) else ""
    return Problem(parsed.source, _place(path, parsed), path, expected, shown(details["input"]), hint)


def _unknown_field(path: Path, parsed: Parsed, model: type[BaseModel]) -> Problem:
    field, fields = str(path[-1]), _fields(model, path[:-1])
    near = get_close_matches(field, fields, n=1, cutoff=0.5) or [f for f in fields if f.startswith(field)]
    hint = f"did you mean {near[0]}?" if near else ""
    expected = f"one of {', '.join(fields)}" if fields else "no field here"
    place = parsed.keys.get(path) or _place(path, parsed)
    return Problem(parsed.source, place, path, expected, f"the unknown field {shown(field)}", hint)


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """Names of the fields that the model at this path has."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inner(kind, step)]
    return sorted({name for kind in kinds for name in _models(kind)})


def _inner(kind: Any, step: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return [field.annotation] if field else []
    return [inner for argument in get_args(kind) for inner in (_inner(argument, step) or [argument])]


def _models(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [name for argument in get_args(kind) for name in _models(argument)] if get_origin(kind) else []


def _known(location: tuple[str | int, ...], parsed: Parsed) -> Path:
    """Pydantic's location as far as it stands in the file, without the steps of its own: the tags of unions."""
    path: Path = ()
    for step in location:
        path = (*path, step) if (*path, step) in parsed.values else path
    return path


def _count(entries: int) -> str:
    return "one entry" if entries == 1 else f"{entries} entries"


def _place(path: Path, parsed: Parsed) -> Place:
    return parsed.values.get(path, Place(1, 1))
