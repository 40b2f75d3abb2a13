"""The report: complete, self-contained, and inert whatever the incident's documents say."""

import base64
import re
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.testing import ActivityEnvironment

from activities.contracts.incident import IncidentEvent, IncidentSnapshot, RenderReport
from activities.evidence.errors import VaultUnavailable
from activities.evidence.vault.local import LocalVault
from activities.report.render import Reports, render
from playbooks.proof import conclude
from tests.activities.report.page import Page
from tests.activities.report.sample import (
    MEASUREMENTS,
    REPAIR,
    after,
    alert,
    change,
    evidence,
    gate,
    intruder,
    measured,
    snapshot,
    target,
    timeline,
)

HOSTILE = "</style></title><script>alert(1)</script><img src=//evil onerror=alert(1)>\"' {{7*7}} &amp; \u202egpj"


class Kept:
    """A timeline that is kept somewhere."""

    def timeline(self, incident_id: str) -> Sequence[IncidentEvent]:
        assert incident_id == "inc-8d5e957f2974"
        return timeline()


def page(incident: IncidentSnapshot | None = None, events: Sequence[IncidentEvent] | None = None) -> Page:
    return Page(render(incident or snapshot(), timeline() if events is None else events))


def headline(**changes: Any) -> str:
    text = render(snapshot(**changes), timeline())
    found = re.search(r"<title>[^:]*: (.*)</title>", text)
    assert found
    return found[1]


def test_the_report_holds_every_hash_of_the_evidence() -> None:
    words = page().words

    hashes = [item.sha256 for item in evidence() if item.sha256]
    assert len(hashes) == 7
    assert all(digest in words for digest in hashes)
    assert "missing the time budget of 30 s was spent" in words
    assert "8,412 packets in the file, 8,412 received, 0 dropped by the kernel, 0 dropped by the interface" in words
    assert "1,204 events, 0 events lost" in words


def test_only_traffic_that_was_measured_is_said_to_have_stopped() -> None:
    nothing = {"result": "unknown", "applicable": False}
    measurements = tuple(m.model_copy(update=nothing) if m.aspect == "ipv6" else m for m in MEASUREMENTS)
    proof = conclude(measurements)
    assert proof.verdict == "effective"
    words = page(snapshot(targets=(target(proof=proof),))).words

    assert "measured that new and established traffic of web stopped" in words


def test_the_report_says_who_decided_what_on_which_plan_and_when() -> None:
    words = page().words

    assert "End the intruder's processes on web? approved" in words
    assert REPAIR in words
    assert change().plan_hash in words
    reason = "Same binary as in last week's case; the capture has what we need."
    assert f"user:ada approve approver {reason} 12:01:36.518" in words
    assert all(line in words for line in change().summary)


def test_the_report_shows_every_measurement_with_its_witness_and_marks_the_host_s_own() -> None:
    words = page().words

    assert "Established sessions ✓ cut app silence 400 ms of 10.77.0.11 12:00:00.649" in words
    assert "Management lifeline ✓ reachable web (the host itself) tcp-connect 10.99.0.1:7233 12:00:00.249" in words
    assert "Bystander batch ✓ reachable app tcp-connect 10.77.0.14:9000 12:00:00.258" in words


def test_the_report_tells_the_whole_timeline_and_the_intruder() -> None:
    words = page().words

    assert all(event.summary in words for event in timeline())
    assert intruder().executable_sha256 in words
    assert "/tmp/.x/crawl --target 10.77.0.13:5432" in words


def test_the_milestones_stand_in_the_order_of_time_with_the_spans_between_them() -> None:
    words = page().words

    assert (
        "Alert received 12:00:00.118 Traffic cut 12:00:00.161 (+43 ms) Proven 12:00:00.649 (+489 ms) "
        "Repair decided 12:01:36.518 (+1 min 35 s) Released 12:03:04.520 (+1 min 28 s)"
    ) in words


def test_a_milestone_that_has_not_come_has_no_time() -> None:
    held = snapshot(targets=(target(state="isolated", restored=None),), gates=())

    assert "Decided not yet Released not yet" in page(held, timeline()[:5]).words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Contained in 43 ms, and proven"),
        ({"targets": (target(proof=None),)}, "Contained in 43 ms, but not proven"),
        (
            {"targets": (target(proof=conclude((*MEASUREMENTS, measured("new", "open", "x", at=1)))),)},
            "Contained in 43 ms, but not proven",
        ),
        (
            {"targets": (target(), target(state="failed", applied_at=None, proof=None, reason="no answer"))},
            "1 of 2 targets contained in 43 ms",
        ),
        (
            {"targets": (target(state="rolled-back", reason="the lifeline was dead"),)},
            "Nothing was contained",
        ),
        ({"targets": (), "playbook": None}, "Nothing was contained"),
        ({"targets": (target(applied_at=after(-5)),)}, "Contained, and proven"),
    ],
)
def test_the_headline_says_no_more_than_was_shown(changes: dict[str, Any], expected: str) -> None:
    assert headline(**changes) == expected


def test_what_was_not_measured_is_called_unknown() -> None:
    only_new = conclude((measured("new", "cut", "tcp-connect", at=500),))

    words = page(snapshot(targets=(target(proof=only_new),))).words

    assert "New connections ✓ cut Established sessions ? unknown IPv6 ? unknown" in words
    assert "established traffic is unknown, ipv6 traffic is unknown and the lifeline is unknown" in words


def test_an_incident_without_anything_but_an_alert_still_makes_a_report() -> None:
    bare = snapshot(
        targets=(),
        gates=(),
        evidence=(),
        intruders=(),
        playbook=None,
        corroborated=None,
        remediation="",
        alerts=1,
    )

    words = page(bare, []).words

    assert "No target was touched." in words
    assert "Nothing was collected." in words
    assert "The ledger holds no event of this incident." in words


def test_the_page_loads_and_runs_nothing() -> None:
    text = render(snapshot(), timeline())
    parsed = Page(text)

    assert parsed.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base", "a", "use"})
    names = {name for _, name, _ in parsed.attributes}
    assert names.isdisjoint({"src", "href", "xlink:href", "srcset", "style", "action", "data"})
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in parsed.css
    assert "@import" not in parsed.css
    assert "http" not in text.replace("http-equiv", "")


def test_the_page_s_policy_allows_its_own_style_sheet_and_nothing_else() -> None:
    parsed = page()

    policy = next(value for tag, name, value in parsed.attributes if (tag, name) == ("meta", "content"))
    digest = base64.b64encode(sha256(parsed.css.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_hostile_words_of_an_alert_a_process_or_a_person_stay_words() -> None:
    words = HOSTILE[:200]
    hostile_gate = gate().model_copy(
        update={
            "gate": gate().gate.model_copy(
                update={
                    "question": words,
                    "plan": (words,),
                    "decisions": (gate().gate.decisions[0].model_copy(update={"actor": words, "reason": words}),),
                }
            )
        }
    )
    accused = alert(
        rule={"name": words},
        message=words,
        host={"name": words, "id": words},
        threat={"technique": [{"id": words, "name": words}]},
        evidence_ids=[words],
    )
    hostile = snapshot(
        alert=accused,
        gates=(hostile_gate,),
        targets=(target(reason=words),),
        intruders=(
            intruder().model_copy(
                update={"command": (words,), "executable": words, "user": words, "sockets": (words,)}
            ),
        ),
        remediation=words,
        correlation_key=words,
    )
    events = [timeline()[0].model_copy(update={"summary": words, "actor": words})]
    text = render(hostile, events)
    parsed = Page(text)

    assert parsed.tags == page().tags
    assert {name for _, name, _ in parsed.attributes} == {name for _, name, _ in page().attributes}
    assert parsed.css == page().css
    assert text.count("<script") == 0
    shown = words.replace("\u202e", "\\u{202E}")
    assert parsed.text.count(shown) >= 15
    assert "\u202e" not in text


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_no_text_changes_the_page_s_structure(name: str, message: str) -> None:
    parsed = page(snapshot(alert=alert(rule={"name": name}, message=message or "m")))

    assert parsed.tags == page().tags
    assert not set(parsed.text) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200b\x00\x1b")


def test_the_report_is_written_whole_into_the_case_and_named_by_its_hash(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)

    report = ActivityEnvironment().run(Reports(Kept(), vault).render_report, RenderReport(snapshot=snapshot()))

    path = tmp_path / "case" / "inc-8d5e957f2974" / report.path
    assert Path(unquote(urlsplit(report.uri).path)) == path
    assert sha256(path.read_bytes()).hexdigest() == report.sha256
    assert path.name == f"report-{report.sha256[:12]}.html"
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_repeated_step_writes_the_same_bytes_and_a_later_report_replaces_none(tmp_path: Path) -> None:
    reports, order = Reports(Kept(), LocalVault(tmp_path)), RenderReport(snapshot=snapshot())
    later = order.model_copy(update={"snapshot": snapshot(alert=alert(message="more"))})

    first = ActivityEnvironment().run(reports.render_report, order)

    assert ActivityEnvironment().run(reports.render_report, order) == first
    assert ActivityEnvironment().run(reports.render_report, later).uri != first.uri
    assert Path(unquote(urlsplit(first.uri).path)).exists()


def test_a_vault_that_takes_no_document_is_worth_another_try(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    (tmp_path / "case" / "inc-8d5e957f2974").write_text("in the way")

    with pytest.raises(VaultUnavailable) as caught:
        ActivityEnvironment().run(Reports(Kept(), vault).render_report, RenderReport(snapshot=snapshot()))

    assert caught.value.retryable


def test_addresses_of_both_families_identify_the_target() -> None:
    words = page().words

    assert all(str(ip_address(address)) in words for address in ("10.77.0.11", "fd77::11"))
