r"""YAML text as plain values with a place for each of them.

Owns reading YAML safely: no tags beyond the plain ones, no merge keys, no duplicate keys, and bounds on size,
depth and what aliases may grow to. Collects every problem instead of stopping at the first. Knows no model.

    parsed = parse_yaml("name: web\nname: app", "web.yaml")
    parsed.problems[0].line   # -> "web.yaml:2:1: name: expected each field once, found it again ..."
"""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from yaml import MappingNode, Node, SafeLoader, ScalarNode, SequenceNode, YAMLError
from yaml.composer import ComposerError
from yaml.error import Mark, MarkedYAMLError
from yaml.reader import ReaderError

MAX_CHARACTERS = 64 * 1024
MAX_DEPTH = 24
MAX_NODES = 5_000
# Longer numbers are no seconds, counts or ports, and Python refuses to print some of them.
MAX_NUMBER_CHARACTERS = 40
MAX_SHOWN = 80

Path = tuple[str | int, ...]
_TAG = "tag:yaml.org,2002:"
_TEXTUAL = {_TAG + kind for kind in ("str", "timestamp", "value", "merge")}
_NUMBERS = {_TAG + kind for kind in ("int", "float")}
_PLAIN = {_TAG + kind for kind in ("bool", "null")}


class Place(NamedTuple):
    """Line and column, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file, at one place."""

    source: str
    place: Place
    path: Path
    expected: str
    found: str
    hint: str = ""

    @property
    def line(self) -> str:
        """`file:line:column: path: expected ..., found ... (hint)`."""
        where = f"{self.source}:{self.place.line}:{self.place.column}: "
        path = f"{written(self.path)}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{path}expected {self.expected}, found {self.found}{hint}"


@dataclass
class Parsed:
    """The values of a file and where each key and value stands."""

    source: str
    value: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, place: Place, path: Path, expected: str, found: str, hint: str = "") -> None:
        """Note one problem."""
        self.problems.append(Problem(self.source, place, path, expected, found, hint))


class _TooLarge(Exception):
    """Aliases grew the document beyond its bounds."""


def parse_yaml(text: str, source: str) -> Parsed:
    """Read one YAML document; never raises for what the text says, but lists it in `problems`."""
    parsed = Parsed(source)
    if len(text) > MAX_CHARACTERS:
        parsed.refuse(Place(1, 1), (), f"at most {MAX_CHARACTERS} characters", str(len(text)))
        return parsed
    node, loader = _compose(text, parsed)
    if node is None or loader is None:
        if not parsed.problems:
            parsed.refuse(Place(1, 1), (), "a YAML mapping", "an empty file")
        return parsed
    try:
        parsed.value = _Walk(parsed, loader).value(node, ())
    except _TooLarge:
        bounds = f"at most {MAX_NODES} values nested at most {MAX_DEPTH} deep once aliases are followed"
        parsed.refuse(_place(node.start_mark), (), bounds, "more", "write the values out instead of aliasing")
    return parsed


def written(path: Path) -> str:
    """A path as people write it: `match.rules[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return _ascii(text)[:200]


def shown(value: object) -> str:
    """A value as an error may repeat it: short, on one line, printable."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


class _BoundedLoader(SafeLoader):
    """PyYAML's safe loader; composing recurses, so the depth is bounded before Python's own limit."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            here = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"more than {MAX_DEPTH} levels", here)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str, parsed: Parsed) -> tuple[Node | None, _BoundedLoader | None]:
    loader = None
    try:
        loader = _BoundedLoader(text)
        return loader.get_single_node(), loader
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
        parsed.refuse(place, (), "printable characters", f"character {error.character!r}")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        expected, found = _expected_and_found(" ".join(filter(None, (error.context, error.problem))))
        parsed.refuse(_place(mark) if mark else Place(1, 1), (), expected, found)
    except (YAMLError, ValueError, OverflowError) as error:
        # PyYAML hands \UFFFFFFFF and %YAML 99...9 to chr() and int() without looking.
        mark = loader.get_mark() if loader else None
        parsed.refuse(_place(mark) if mark else Place(1, 1), (), "valid YAML", _ascii(str(error)))
    return None, None


def _expected_and_found(message: str) -> tuple[str, str]:
    """PyYAML words it as `expected X, but found Y`, as `found Y`, or in its own way."""
    both = re.search(r"expected (?P<expected>.+?),? but found (?P<found>.+)", _ascii(message))
    if both:
        return both["expected"], both["found"]
    return "valid YAML", re.sub(r"^(while \S+ .*? )?found ", "", _ascii(message)) or "something else"


@dataclass
class _Walk:
    """Nodes to values, noting places and problems on the way."""

    parsed: Parsed
    loader: _BoundedLoader
    visited: int = 0

    def value(self, node: Node, path: Path) -> Any:
        self.visited += 1
        if self.visited > MAX_NODES or len(path) > MAX_DEPTH:
            raise _TooLarge
        self.parsed.values[path] = _place(node.start_mark)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        return self._refuse(node, path, "a plain value", f"the tag {_ascii(node.tag)}", "leave the tag out")

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            return self._refuse(node, path, "text", "half of a surrogate pair")
        if node.tag in _TEXTUAL:
            return text
        if node.tag not in _NUMBERS | _PLAIN:
            return self._refuse(node, path, "a plain value", f"the tag {_ascii(node.tag)}", "leave the tag out")
        if node.tag in _NUMBERS and len(text) > MAX_NUMBER_CHARACTERS:
            return self._refuse(node, path, f"a number of at most {MAX_NUMBER_CHARACTERS} characters", "more")
        try:
            return self.loader.construct_object(node)
        except (YAMLError, LookupError, ValueError, ArithmeticError):
            kind = node.tag.removeprefix(_TAG)
            return self._refuse(node, path, f"a value that reads as {kind}", shown(text), "leave the tag out")

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            place = _place(key_node.start_mark)
            if key in values:
                first = self.parsed.keys[(*path, key)]
                found = f"it again; the first is on line {first.line}"
                self.parsed.refuse(place, (*path, key), "each field once", found)
                continue
            self.parsed.keys[(*path, key)] = place
            values[key] = self.value(value_node, (*path, key))
        return values

    def _key(self, node: Node, path: Path) -> str | None:
        if isinstance(node, ScalarNode) and node.tag == _TAG + "merge":
            self._refuse(node, path, "a field name", "the merge key <<", "write the fields out")
        elif isinstance(node, ScalarNode) and node.tag in _TEXTUAL:
            return str(node.value)
        else:
            found = shown(node.value) if isinstance(node, ScalarNode) else "a nested value"
            self._refuse(node, path, "a field name", found, "put it in quotes if it is meant as a name")
        return None

    def _refuse(self, node: Node, path: Path, expected: str, found: str, hint: str = "") -> None:
        self.parsed.refuse(_place(node.start_mark), path, expected, found, hint)


def _place(mark: Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _ascii(text: str) -> str:
    return ascii(text)[1:-1]
