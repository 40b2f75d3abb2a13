from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ecs import FIELDS, alert_from_ecs
from api.errors import BodyInvalid, FieldProblem
from api.examples import ALERT

RULE = {"rule": {"name": "r"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = sorted(
    {name for names in FIELDS.values() for name in names}
    | {"threat.technique", "threat.technique.id", "labels", "labels.a", "event", "host"}
)


def dotted(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def test_nested_and_dotted_keys_say_the_same() -> None:
    assert alert_from_ecs(dotted(ALERT)) == alert_from_ecs(ALERT)


def test_every_field_of_the_example_is_taken_over() -> None:
    alert = alert_from_ecs(ALERT)
    assert alert.event.id == ALERT["event"]["id"]
    assert alert.event.severity == 80
    assert alert.event.created is not None
    assert alert.event.created.isoformat() == "2026-03-04T05:06:07+00:00"
    assert str(alert.destination.ip) == "10.66.0.4"
    assert alert.destination.port == 5432
    assert alert.threat.technique[0].id == "T1021"


def test_fields_that_nobody_uses_are_ignored() -> None:
    more = {
        "agent": {"id": "x"},
        "event.kind": "signal",
        "host": {"os": {"name": "Debian"}},
        "rule": {"name": "r", "uuid": 7},
    }
    assert alert_from_ecs(more) == alert_from_ecs(RULE)


def test_an_alert_of_elastic_security_is_understood() -> None:
    alert = alert_from_ecs(
        {
            "kibana.alert.uuid": "9f2c",
            "kibana.alert.rule.name": "Lateral movement",
            "kibana.alert.rule.uuid": "rule-7",
            "kibana.alert.risk_score": 73,
            "kibana.alert.reason": "denied 40 times",
            "host": {"name": ["web"]},
        }
    )
    assert (alert.event.id, alert.rule.name, alert.rule.id) == ("9f2c", "Lateral movement", "rule-7")
    assert (alert.event.severity, alert.event.reason, alert.host.name) == (73, "denied 40 times", "web")


@pytest.mark.parametrize(
    "threat",
    [
        {"threat": {"technique": [{"id": "T1021", "name": "Remote Services", "reference": "https://x"}]}},
        {"threat": {"technique": {"id": ["T1021"], "name": ["Remote Services"]}}},
        {"threat.technique.id": "T1021", "threat.technique.name": "Remote Services"},
    ],
)
def test_techniques_are_read_as_objects_or_as_parallel_lists(threat: dict[str, Any]) -> None:
    (technique,) = alert_from_ecs(RULE | threat).threat.technique
    assert (technique.id, technique.name) == ("T1021", "Remote Services")


def test_labels_are_keywords_whatever_the_source_writes() -> None:
    alert = alert_from_ecs(RULE | {"labels": {"env": "prod", "shard": 7, "pci": True}, "labels.tier": "web"})
    assert alert.labels == {"env": "prod", "shard": "7", "pci": "true", "tier": "web"}


def test_values_are_never_repeated_in_an_error() -> None:
    with pytest.raises(BodyInvalid) as refused:
        alert_from_ecs(RULE | {"source": {"ip": "<b>secret</b>"}, "event": {"severity": "<b>secret</b>"}})
    assert "secret" not in str(refused.value) + str(refused.value.fields)


@given(document=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6))
def test_any_document_is_an_alert_or_refused_with_pointers(document: dict[str, Any]) -> None:
    fields = refused_fields(document)
    assert fields is None or fields
    assert all(field["pointer"].startswith("/") for field in fields or ())


def refused_fields(document: dict[str, Any]) -> tuple[FieldProblem, ...] | None:
    try:
        alert_from_ecs(document)
    except BodyInvalid as refused:
        return refused.fields
    return None
