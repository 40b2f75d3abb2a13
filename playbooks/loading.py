"""Loading playbooks, detections and safeguards from YAML: either valid, or every error with its place.

Owns the way from text to models and the words of the errors. Reads the files it is named, nothing else;
never runs in a workflow, which gets its playbook as data.

    load_playbook(text, "lateral-movement.yaml")
    # PlaybookInvalid: lateral-movement.yaml:7:5: contain.lease.ttl: expected one of ends, max_seconds,
    #                  ttl_seconds, found the unknown field 'ttl' (did you mean ttl_seconds?)
"""

import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import ValidationError

from playbooks.alerts import Alert
from playbooks.detection import Detection
from playbooks.playbook import Playbook
from playbooks.safeguards import Safeguards
from playbooks.validation import problems_of
from playbooks.yaml_text import MAX_CHARACTERS, Parsed, Place, Problem, parse_yaml
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen

# As many lines as fit a screen; the rest shows once these are repaired.
MAX_LINES = 40

Document = TypeVar("Document", Playbook, Detection)
Model = TypeVar("Model", bound=Frozen)


class PlaybookInvalid(FirebreakError):
    """YAML that is no playbook, detection or list of safeguards; the summary has one line for each problem."""

    code: ClassVar[str] = "playbook-invalid"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [problem.line for problem in self.problems[:MAX_LINES]]
        if len(self.problems) > MAX_LINES:
            lines.append(f"... and {len(self.problems) - MAX_LINES} more")
        super().__init__("\n".join(lines), hint="Nothing was loaded: correct this and start again.")

    def __str__(self) -> str:
        return f"{self.summary}\n{self.hint}"


def load_playbook(text: str, name: str) -> Playbook:
    """A playbook from YAML; `name` is the file's name in errors.

    Raises:
        PlaybookInvalid: with every problem and its line and column.
    """
    return _load(text, name, Playbook)


def load_detection(text: str, name: str) -> Detection:
    """A detection from YAML, under the same rules as a playbook.

    Raises:
        PlaybookInvalid: with every problem and its line and column.
    """
    return _load(text, name, Detection)


def load_catalog(directory: Path) -> tuple[Playbook, ...]:
    """Every playbook of a folder, in the order of its file names.

    Raises:
        PlaybookInvalid: with the problems of all files, two playbooks of one name included.
    """
    return _load_folder(directory, load_playbook)


def load_detections(directory: Path) -> tuple[Detection, ...]:
    """Every detection of a folder, in the order of its file names.

    Raises:
        PlaybookInvalid: with the problems of all files, two detections of one name included.
    """
    return _load_folder(directory, load_detection)


def load_safeguards(path: Path | None) -> Safeguards:
    """The safeguards of a site; without a file the defaults, which protect nothing and limit by number.

    Raises:
        PlaybookInvalid: with every problem and its line and column; also where there is no such file.
    """
    return _load(_read(path, str(path)), str(path), Safeguards) if path is not None else Safeguards()


def choose(playbooks: Iterable[Playbook], alert: Alert) -> Playbook | None:
    """The most specific playbook that answers the alert at its severity; the first of equals; None: triage.

    An exact rule name is more specific than a pattern, a longer pattern than a shorter one, and any of them
    than a technique.
    """
    answering = [p for p in playbooks if p.matches(alert) and alert.event.severity >= p.match.min_severity]
    return max(answering, key=lambda playbook: _specificity(playbook, alert), default=None)


def _specificity(playbook: Playbook, alert: Alert) -> tuple[bool, int, int]:
    name = alert.rule.name
    patterns = (rule for rule in playbook.match.rules if fnmatchcase(name, rule))
    literal = max((sum(c not in "*?[]" for c in pattern) for pattern in patterns), default=0)
    return name in playbook.match.rules, literal, playbook.match.min_severity


def _load(text: str, source: str, model: type[Model]) -> Model:
    parsed = parse_yaml(text, source)
    if not parsed.values:
        raise PlaybookInvalid(parsed.problems)
    document = _validated(parsed, model)
    if parsed.problems:
        raise PlaybookInvalid(parsed.problems)
    return document


def _validated(parsed: Parsed, model: type[Model]) -> Model:
    try:
        # Through JSON: only there does pydantic's strict mode (no "1" for 1) take lists for tuples.
        return model.model_validate_json(json.dumps(parsed.value), strict=True)
    except ValidationError as invalid:
        problems = [*parsed.problems, *problems_of(invalid, parsed, model)]
        raise PlaybookInvalid(sorted(problems, key=lambda problem: problem.place)) from None


def _load_folder(directory: Path, load: Callable[[str, str], Document]) -> tuple[Document, ...]:
    if not directory.is_dir():
        raise PlaybookInvalid([Problem(str(directory), Place(1, 1), (), "a folder of YAML files", "none")])
    problems: list[Problem] = []
    loaded: dict[str, tuple[str, Document]] = {}
    for path in sorted(p for p in directory.iterdir() if p.suffix in {".yaml", ".yml"}):
        try:
            document = load(_read(path, path.name), path.name)
        except PlaybookInvalid as error:
            problems.extend(error.problems)
            continue
        if document.name in loaded:
            found = f"{document.name!r}, which {loaded[document.name][0]} has already"
            problems.append(Problem(path.name, Place(1, 1), ("name",), "a name of its own", found))
        loaded.setdefault(document.name, (path.name, document))
    if problems:
        raise PlaybookInvalid(problems)
    return tuple(document for _, document in loaded.values())


def _read(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than fits, so that the bound is noticed without reading all of a huge file.
            return file.read(4 * MAX_CHARACTERS + 1).decode("utf-8")
    except UnicodeDecodeError as error:
        place, found = (
            Place(1, error.start + 1),
            f"byte {error.object[error.start]:#04x} at offset {error.start}",
        )
        raise PlaybookInvalid([Problem(name, place, (), "UTF-8", found)]) from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise PlaybookInvalid([Problem(name, Place(1, 1), (), "a readable file", found)]) from None
