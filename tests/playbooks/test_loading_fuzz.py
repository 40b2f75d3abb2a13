"""Whatever stands in a file: it is a playbook, or it is refused with a place inside the file."""

from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.loading import PlaybookInvalid, load_playbook
from playbooks.playbook import Playbook

CATALOG = Path(__file__).parents[2] / "playbooks" / "catalog"
REAL = [path.read_text(encoding="utf-8") for path in sorted(CATALOG.glob("*.yaml"))]
FRAGMENTS = [
    *"{}[]:,-&*!|>'\"%@`#?\n\t \\",
    *(
        "!!int ",
        "!!bool x",
        "!!float ''",
        "!!binary ",
        "!!set {",
        "!!timestamp ",
        "<<: ",
        "---\n",
        "...\n",
        "=",
        "~",
    ),
    *(
        "&a ",
        "*a",
        ".inf",
        ".nan",
        "1e999",
        "0o7",
        "0x",
        "59:59",
        "2031-99-99",
        "\\ud800",
        "\\U00110000",
        "\ud800",
    ),
    *(
        "%YAML 9.9\n",
        "%TAG ! x\n",
        "? ",
        "name: ",
        "match: ",
        "  rules: ",
        "quorum: ",
        "null",
        "\u202e",
        "\x85",
        "\ufeff",
    ),
]


def refusal_of(text: str) -> PlaybookInvalid | None:
    try:
        assert isinstance(load_playbook(text, "fuzz.yaml"), Playbook)
    except PlaybookInvalid as error:
        return error
    return None


def loads_or_refuses(text: str) -> None:
    refusal = refusal_of(text)
    if refusal is None:
        return
    last = 1 + sum(text.count(end) for end in "\n\r\x85\u2028\u2029")
    assert refusal.problems
    assert all(1 <= problem.place.line <= last and problem.place.column >= 1 for problem in refusal.problems)
    assert str(refusal).isascii()
    assert str(refusal).replace("\n", "").isprintable()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_loads_or_is_refused(text: str) -> None:
    loads_or_refuses(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=30))
def test_any_pile_of_yaml_syntax_loads_or_is_refused(pieces: list[str]) -> None:
    loads_or_refuses("".join(pieces))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(REAL), st.data())
def test_a_real_playbook_with_a_hole_or_a_splinter_in_it_loads_or_is_refused(real: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(real)))
    end = data.draw(st.integers(start, min(len(real), start + 20)))
    loads_or_refuses(real[:start] + data.draw(st.sampled_from(["", *FRAGMENTS])) + real[end:])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Playbook.model_fields)), VALUES))
def test_any_values_in_the_right_fields_load_or_are_refused(fields: dict[str, object]) -> None:
    loads_or_refuses(yaml.safe_dump(fields, allow_unicode=True))
