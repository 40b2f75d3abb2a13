"""Label selectors mean what the API server means by them, in Kubernetes' form and in Calico's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.kubernetes.calico_selectors import parse, written
from playbooks.kubernetes.selectors import SelectorUnknown, in_words, is_everything, matches, wanted_keys

KEYS = st.sampled_from(["app", "tier", "example.com/zone"])
VALUES = st.sampled_from(["web", "db", "x-1"])
LABELS = st.dictionaries(KEYS, VALUES)
WITH_VALUES = st.fixed_dictionaries(
    {"key": KEYS, "operator": st.sampled_from(["In", "NotIn"]), "values": st.lists(VALUES, min_size=1, max_size=3)}
)
WITHOUT = st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])})
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(WITH_VALUES | WITHOUT, max_size=3)}
)


def naive(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if key not in labels or labels[key] != value:
            return False
    for expression in selector.get("matchExpressions", []):
        there, key = expression["key"] in labels, expression["key"]
        listed = there and labels[key] in expression.get("values", [])
        if not {"In": listed, "NotIn": not listed, "Exists": there, "DoesNotExist": not there}[expression["operator"]]:
            return False
    return True


@given(SELECTORS, LABELS)
def test_a_selector_matches_what_a_naive_reading_matches(selector: dict[str, Any], labels: dict[str, str]) -> None:
    assert matches(selector, labels) == naive(selector, labels)


@given(SELECTORS, LABELS)
def test_calicos_form_of_a_selector_matches_the_same(selector: dict[str, Any], labels: dict[str, str]) -> None:
    assert parse(written(selector)).holds(labels) == naive(selector, labels)


@given(SELECTORS, LABELS)
def test_a_match_ends_with_any_label_that_it_wants(selector: dict[str, Any], labels: dict[str, str]) -> None:
    if not matches(selector, labels):
        return
    for key in wanted_keys(selector):
        assert not matches(selector, {name: value for name, value in labels.items() if name != key})


def test_an_empty_selector_matches_everything() -> None:
    assert matches({}, {})
    assert is_everything({"matchLabels": {}, "matchExpressions": []})


@pytest.mark.parametrize(
    "selector", [{"app": "web"}, "app=web", {"matchExpressions": [{"key": "a", "operator": "Gt"}]}]
)
def test_a_selector_of_another_form_is_refused_and_not_guessed_at(selector: Any) -> None:
    with pytest.raises(SelectorUnknown):
        matches(selector, {"app": "web"})


def test_a_selector_is_told_in_words() -> None:
    selector: dict[str, Any] = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["db", "mq"]},
            {"key": "debug", "operator": "DoesNotExist"},
        ],
    }
    assert in_words(selector) == "app=web, tier not in (db, mq), !debug"


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("all()", {"app": "web"}, True),
        ("app == 'web'", {"app": "web"}, True),
        ('app == "web"', {"app": "db"}, False),
        ("app != 'web'", {}, True),
        ("has(app) && !has(debug)", {"app": "x", "debug": "1"}, False),
        ("app in {'web', 'db'} || tier == 'front'", {"tier": "front"}, True),
        ("app not in { 'web' }", {"app": "web"}, False),
        ("!(app == 'web' || app == 'db') && has(app)", {"app": "mq"}, True),
        ("app contains 'eb'", {"app": "web"}, True),
        ("app starts with 'we'", {"app": "web"}, True),
        ("app ends with 'we'", {"app": "web"}, False),
        ("projectcalico.org/namespace == 'shop'", {"projectcalico.org/namespace": "shop"}, True),
        ("a == 'b' || a == 'c' && a == 'd'", {"a": "b"}, True),
    ],
)
def test_calicos_language_is_read_as_documented(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse(text).holds(labels) is expected


@pytest.mark.parametrize(
    "text", ["app =", "app == web", "has(app", "app == 'a' app", "global()", "app & b", "has(a) &&"]
)
def test_what_is_not_calicos_language_is_refused(text: str) -> None:
    with pytest.raises(SelectorUnknown, match="can't be read"):
        parse(text)
