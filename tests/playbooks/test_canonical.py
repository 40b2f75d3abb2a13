"""Canonical JSON: one document, one spelling, one hash."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.alerts import Rule
from playbooks.canonical import canonical, digest

# Integers beyond 2**53 have no exact form in JavaScript's numbers, on which RFC 8785 builds.
numbers = st.integers(-(2**53) + 1, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=6,
    ),
    max_size=4,
)


def test_the_example_of_the_rfc_is_spelled_as_there() -> None:
    document = {"numbers": [4.5, 0.002], "literals": [None, True, False], "string": '€$\u000f\nA\'B"\\\\"/'}

    assert canonical(document) == (
        b'{"literals":[null,true,false],"numbers":[4.5,0.002],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_their_utf16_units() -> None:
    # U+1F600 sorts after U+E000 by code point and before it by UTF-16 (RFC 8785, 3.2.3).
    assert canonical({"\ue000": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ue000":1}'.encode()


def test_a_model_is_spelled_as_its_json() -> None:
    assert canonical(Rule(name="r")) == b'{"id":null,"name":"r"}'


def test_a_digest_names_its_algorithm() -> None:
    assert digest({"a": 1}) == "sha256:" + hashlib.sha256(b'{"a":1}').hexdigest()


@pytest.mark.parametrize("document", [{"n": 2**53}, {"n": float("nan")}, {"n": float("inf")}])
def test_what_has_no_canonical_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(document)


@given(documents)
def test_what_is_spelled_reads_back_as_the_same(document: dict[str, Any]) -> None:
    assert json.loads(canonical(document)) == document


@given(documents, st.randoms())
def test_the_order_of_keys_does_not_matter(document: dict[str, Any], random: Any) -> None:
    items = list(document.items())
    random.shuffle(items)

    assert digest(dict(items)) == digest(document)


@given(documents, documents)
def test_different_documents_have_different_spellings(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (canonical(one) == canonical(other)) == (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    """The document with True and 1 kept apart, which Python takes for equal."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return (type(value), value)
