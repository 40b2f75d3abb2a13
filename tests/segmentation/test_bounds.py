"""Honest people stay within the bounds and say what they left out; nobody else gets past them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from segmentation.bounds import (
    CUT_MARK,
    Count,
    Line,
    Milliseconds,
    Moment,
    Word,
    countable,
    cut,
    few,
    few_words,
    fitting,
    plausible,
    size_of,
)
from segmentation.workloads import Frozen

NOW = datetime(2031, 5, 1, tzinfo=UTC)
LINE: TypeAdapter[str] = TypeAdapter(Line)


class Said(Frozen):
    """A document of one text."""

    text: str


def test_a_text_that_is_cut_says_so() -> None:
    assert cut("short") == "short"
    assert cut("a very long reason", 10) == f"a very {CUT_MARK}"


@given(st.text())
def test_whatever_was_cut_is_a_line(text: str) -> None:
    assert LINE.validate_python(cut(text)) == cut(text)


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert cut("\x1b[2J\tand\x00\n") == "\\x1b[2J\tand\\x00\n"
    with pytest.raises(ValidationError):
        LINE.validate_python("\x1b[2J")


def test_lines_beyond_the_bound_are_counted() -> None:
    assert few(("one", "two"), 2) == ("one", "two")
    assert few(("one", "two", "three"), 2) == ("one", "and 2 more")


def test_arguments_beyond_the_bound_are_counted() -> None:
    assert few_words(("dumpcap", "-i", "eth0"), 100) == ("dumpcap", "-i", "eth0")
    assert few_words(("dumpcap", "-i", "eth0"), 12) == ("dumpcap", "-i", f"{CUT_MARK} 1 more arguments")


def test_documents_fit_by_their_bytes_and_not_by_their_letters() -> None:
    plain, wide = [Said(text="a" * 100)] * 10, [Said(text="\N{GRINNING FACE}" * 100)] * 10

    assert len(fitting(plain, 600)) == 5
    assert len(fitting(wide, 600)) == 1
    assert sum(size_of(said) for said in fitting(wide, 2000)) <= 2000


def test_what_a_broken_file_tells_is_not_believed() -> None:
    assert plausible(datetime(2500, 1, 1, tzinfo=UTC), NOW) == NOW
    assert (countable(7), countable(1 << 60), countable(None)) == (7, None, None)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Count, -1),
        (Count, 1 << 53),
        (Milliseconds, float("nan")),
        (Milliseconds, float("inf")),
        (Moment, "9999-12-31T23:59:59Z"),
        (Moment, "2031-05-01T12:00:00"),
        (Word, "x" * 257),
        (Word, "a\x00b"),
    ],
)
def test_a_value_that_nobody_could_reckon_or_keep_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)
