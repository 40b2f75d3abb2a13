"""Alerts: what makes two the same, and what makes them one incident."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from playbooks.alerts import Alert

PLAIN: dict[str, Any] = {
    "event": {"id": "e1", "severity": 50, "created": "2031-05-01T12:00:00Z"},
    "rule": {"name": "Repeated denied connections"},
    "host": {"name": "web"},
    "source": {"ip": "10.77.0.11", "port": 40001},
    "destination": {"ip": "10.77.0.13", "port": 5432},
}


def alert(**changes: Any) -> Alert:
    return Alert.model_validate(PLAIN | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"event": {"id": "e2", "severity": 99}},
        {"source": {"ip": "10.77.0.11", "port": 40002}},
        {"message": "denied 27 times"},
        {"evidence_ids": ["d1", "d2"]},
        {"labels": {"team": "blue"}},
    ],
)
def test_when_how_severe_and_by_what_proof_make_no_other_alert(changes: dict[str, Any]) -> None:
    assert alert(**changes).fingerprint == alert().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": {"name": "Port scan"}},
        {"host": {"name": "app"}},
        {"source": {"ip": "10.77.0.12"}},
        {"destination": {"ip": "10.77.0.13", "port": 22}},
        {"destination": {"ip": "10.77.0.14", "port": 5432}},
    ],
)
def test_what_is_alerted_makes_another_alert(changes: dict[str, Any]) -> None:
    assert alert(**changes).fingerprint != alert().fingerprint


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"host": {"id": "ID-1", "name": "web"}}, "host:id-1"),
        ({"host": {"name": "WEB"}}, "host:web"),
        ({"host": {}}, "address:10.77.0.11"),
        ({"host": {"ip": ["fd77::11"]}, "source": {}}, "address:fd77::11"),
        ({"host": {}, "source": {}}, "rule:Repeated denied connections"),
    ],
)
def test_alerts_correlate_by_host_else_by_address_else_by_rule(changes: dict[str, Any], key: str) -> None:
    assert alert(**changes).correlation_key == key


@pytest.mark.parametrize(
    "broken",
    [
        {"unknown": 1},
        {"rule": {}},
        {"rule": {"name": ""}},
        {"rule": {"name": "r" * 257}},
        {"event": {"severity": 101}},
        {"event": {"created": "2031-05-01T12:00:00"}},
        {"source": {"ip": "10.77.0.256"}},
        {"destination": {"port": 65536}},
        {"message": "m" * 2049},
        {"host": {"ip": ["10.0.0.1"] * 65}},
        {"evidence_ids": ["d"] * 257},
        {"labels": {str(n): "v" for n in range(65)}},
    ],
)
def test_what_is_unknown_or_out_of_bounds_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        alert(**broken)


names = st.text(min_size=1, max_size=30)


@given(rule=names, host=names, other=names)
def test_the_same_alert_has_the_same_fingerprint_and_key_however_often_it_is_read(
    rule: str, host: str, other: str
) -> None:
    first = alert(rule={"name": rule}, host={"name": host})
    again = Alert.model_validate_json(first.model_dump_json())

    assert (again.fingerprint, again.correlation_key) == (first.fingerprint, first.correlation_key)
    if other != host:
        assert alert(rule={"name": rule}, host={"name": other}).fingerprint != first.fingerprint
