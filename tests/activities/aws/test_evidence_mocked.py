"""Evidence whose AWS is a mock: calls that no server here answers, and states that it never has. See canned.py."""

import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from activities.aws.evidence import open_evidence
from activities.aws.evidence_scene import Forensics
from activities.aws.sessions import AwsSessions
from activities.contracts.evidence import CollectedItem
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.canned import Canned
from tests.activities.platform_evidence.keeping import Kept, by_label, evidence, order

INSTANCE = "i-0123456789abcdef0"
NOW = 1795338613


@pytest.fixture
def canned(base: boto3.Session) -> Canned:
    return Canned(base)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def collect(
    accounts: Accounts, sessions: AwsSessions, kept: Kept, folder: Path, *names: Any, budget_seconds: int = 20
) -> dict[str, CollectedItem]:
    target = accounts.target("ec2-instance", INSTANCE)
    asked = order(target, aws=names, budget_seconds=budget_seconds)
    return by_label(evidence(open_evidence(sessions, Forensics()), kept, folder).collect_from_platform(asked))


def trail(number: int) -> dict[str, Any]:
    return {"EventId": f"event-{number}", "EventName": "StopInstances", "EventTime": NOW + number, "Username": "eve"}


def test_the_trail_is_looked_up_by_every_key_page_by_page_and_each_event_is_kept_once(
    canned: Canned, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    canned.json(
        "LookupEvents",
        {"Events": [trail(1)], "NextToken": "more"},
        {"Events": [trail(2)]},
        {"Events": [trail(2), trail(3)]},
    )
    item = collect(accounts, sessions, kept, tmp_path, "cloudtrail")["cloudtrail"]
    asked = [json.loads(body) for name, body in canned.asked if name == "LookupEvents"]

    assert [one["EventId"] for one in kept.document(item)["events"]] == ["event-3", "event-2", "event-1"]
    assert item.acquisition.events == 3
    assert [one["LookupAttributes"][0]["AttributeKey"] for one in asked] == ["ResourceName", "ResourceName", "Username"]
    assert all(one["StartTime"] for one in asked)


def test_a_trail_that_is_longer_than_its_bound_says_from_when_on_it_is_whole(
    canned: Canned,
    accounts: Accounts,
    sessions: AwsSessions,
    kept: Kept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("activities.aws.evidence_trail.MOST_EVENTS", 2)
    canned.json("LookupEvents", {"Events": [trail(n) for n in (3, 2, 1)]}, {"Events": []})
    item = collect(accounts, sessions, kept, tmp_path, "cloudtrail")["cloudtrail"]

    assert (item.outcome.state, item.acquisition.events) == ("truncated", 2)
    assert item.acquisition.gaps[0].ended.timestamp() == NOW + 2


def test_throttling_of_the_trail_is_waited_for(
    canned: Canned, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    canned.refuse_json("LookupEvents", "ThrottlingException")
    canned.then("LookupEvents", {"Events": [trail(1)]})
    item = collect(accounts, sessions, kept, tmp_path, "cloudtrail")["cloudtrail"]

    assert (item.outcome.state, item.acquisition.events) == ("collected", 1)


def test_a_trail_that_is_denied_names_the_permission(
    canned: Canned, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    canned.refuse_json("LookupEvents", "AccessDeniedException")
    item = collect(accounts, sessions, kept, tmp_path, "cloudtrail")["cloudtrail"]

    assert item.outcome.state == "failed"
    assert "cloudtrail:LookupEvents is not allowed" in item.outcome.reason
    assert item.storage is None


def test_findings_are_those_about_the_target_of_both_services(
    canned: Canned, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    arn = f"arn:aws:ec2:eu-west-1:{accounts.account}:instance/{INSTANCE}"
    canned.json("ListDetectors", {"detectorIds": ["d-1"]})
    canned.json("ListFindings", {"findingIds": ["f-1"]})
    canned.json("DescribeHub", {"HubArn": "arn:aws:securityhub:::hub/default"})
    # GuardDuty and Security Hub call their operation the same.
    both = {"findings": [{"id": "f-1"}], "Findings": [{"Id": "h-1", "Resources": [{"Id": arn}]}, {"Id": "h-2"}]}
    canned.json("GetFindings", both)

    item = collect(accounts, sessions, kept, tmp_path, "findings")["findings"]
    found = kept.document(item)

    assert [one["Id"] for one in found["guardduty"]["findings"]] == ["f-1"]
    assert [one["Id"] for one in found["securityhub"]["findings"]] == ["h-1"]
    assert item.acquisition.events == 2


def test_the_picture_of_the_console_is_an_item_of_its_own(
    canned: Canned, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    picture = b"\xff\xd8\xff\xe0 a picture"
    image = base64.b64encode(picture).decode()
    canned.xml("GetConsoleScreenshot", f"<R><instanceId>{INSTANCE}</instanceId><imageData>{image}</imageData></R>")
    canned.xml(
        "GetConsoleOutput",
        "<Response><Errors><Error><Code>UnsupportedOperation</Code></Error></Errors></Response>",
        status=400,
    )
    items = collect(accounts, sessions, kept, tmp_path, "console")

    assert kept.artefacts[items["console-screenshot"].evidence_id] == picture
    assert items["console-screenshot"].media_type == "image/jpeg"
    assert items["console"].outcome.state == "failed"
    asked = [body for name, body in canned.asked if name == "GetConsoleOutput"]
    assert ["Latest" in body for body in asked] == [True, False], "once as on Nitro, and once as elsewhere"


def test_a_snapshot_that_takes_longer_than_the_budget_is_pending_and_says_how_far_it_is(
    canned: Canned,
    accounts: Accounts,
    sessions: AwsSessions,
    kept: Kept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("activities.aws.evidence_snapshots.POLL_SECONDS", 0.1)
    canned.xml("DescribeVolumes", "<R><volumeSet><item><volumeId>vol-1</volumeId></item></volumeSet></R>")
    snapshot = (
        "<item><snapshotId>snap-1</snapshotId><volumeId>vol-1</volumeId>"
        "<status>pending</status><progress>{}</progress></item>"
    )
    canned.xml(
        "DescribeSnapshots",
        *(f"<R><snapshotSet>{snapshot.format(progress)}</snapshotSet></R>" for progress in ("3%", "30%", "42%")),
    )
    item = collect(accounts, sessions, kept, tmp_path, "snapshots", budget_seconds=1)["snapshots"]

    assert item.outcome.state == "truncated"
    assert item.outcome.reason == "vol-1: snapshot snap-1 is at 42%"
    assert kept.document(item)["snapshots"][0]["state"] == "pending"
    assert "CreateSnapshots" not in [name for name, _ in canned.asked], "this incident had begun it"
