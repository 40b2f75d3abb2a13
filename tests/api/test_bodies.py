import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bodies import BodyUnreadable, NestedTooDeep, parse_object
from api.errors import ApiError, BodyInvalid

TREES = st.recursive(
    st.none() | st.text('[]{}"\\a', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth_of, children), default=0)


@given(tree=st.dictionaries(st.text('[{"\\', max_size=3), TREES, max_size=3))
def test_depth_counts_brackets_and_not_what_strings_hold(tree: dict[str, Any]) -> None:
    body, depth = json.dumps(tree).encode(), depth_of(tree)
    assert parse_object(body, depth) == tree
    if depth > 1:
        with pytest.raises(NestedTooDeep):
            parse_object(body, depth - 1)


@given(body=st.binary(max_size=60) | st.text('{}[]",:\\u0019eE+-.tfn ', max_size=60).map(str.encode))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with contextlib.suppress(BodyInvalid, BodyUnreadable, NestedTooDeep):
        assert isinstance(parse_object(body, 8), dict)


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 130_000, b'{"a":"' + b"\\" * 260_000, b"[]" * 130_000, b'""' * 130_000, b'"a' * 130_000],
    ids=["escaped quotes", "backslashes", "brackets", "strings", "quotes"],
)
def test_no_text_of_full_size_takes_long(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ApiError):
        parse_object(body, 32)
    assert time.process_time() - began < 1
