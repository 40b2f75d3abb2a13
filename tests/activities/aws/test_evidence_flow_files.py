"""Flow logs in a bucket: a real S3 server, and EC2's word for their options where moto keeps none (see canned.py)."""

import gzip
import hashlib
import time
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from activities.aws.evidence_flow_files import FRAME, PERMISSIONS, Files
from activities.aws.evidence_scene import Forensics, Scene
from activities.aws.observing import place_of
from activities.aws.sessions import AwsSessions
from activities.evidence.platforms.collecting import Draft, Task
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.canned import Canned
from tests.activities.aws.delivered import HEADER, SLOTS, Collecting, ago, delivered, described, line, packed
from tests.activities.aws.estate import Estate, build
from tests.activities.aws.test_permissions import policy
from tests.activities.aws.wire import Wire

DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts, interfaces=2)


@pytest.fixture
def collect(estate: Estate, sessions: AwsSessions, tmp_path: Path) -> Collecting:
    return Collecting(estate, sessions, tmp_path)


def lines_of(document: Any) -> list[str]:
    return [each for files in document["files"].values() for file in files for each in file["lines"]]


def test_files_of_the_time_are_read_and_only_lines_of_the_target_kept(estate: Estate, collect: Collecting) -> None:
    bucket, mine = delivered(estate), estate.interfaces[0]
    content = packed(line(mine), line("eni-0ther"), line(estate.interfaces[1], 22), line("eni-0ther"))
    bucket.put(ago(61), packed(line(mine, 61)))
    key = bucket.put(ago(20), content)
    bucket.put(ago(10), packed(line("eni-0ther")), mark="ffff")
    bucket.put(ago(70), packed(line(mine, 70)))
    bucket.put(ago(-10), packed(line(mine, 71)))
    bucket.put(ago(20), packed(line(mine, 72)), log="fl-0ther")
    item, document = collect()
    newest, middle, oldest = document["files"][bucket.log]

    assert (item.outcome.state, item.acquisition.events, item.acquisition.gaps) == ("collected", 3, ())
    assert (middle["key"], middle["header"], middle["left_out"]) == (key, HEADER, 2)
    assert middle["lines"] == [line(mine), line(estate.interfaces[1], 22)]
    assert (middle["sha256"], middle["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (newest["lines"], newest["left_out"]) == ([], 1), "that it was looked into is evidence too"
    assert oldest["lines"] == [line(mine, 61)], "its records may end within the time that was asked for"
    assert "the lines of the target's interfaces: 3 lines of others were left out" in item.acquisition.filter


def test_a_format_without_interfaces_has_all_its_lines_kept_and_it_is_said(estate: Estate, collect: Collecting) -> None:
    bucket = delivered(estate)
    bucket.put(ago(10), packed("10.9.1.4 203.0.113.9", header="srcaddr dstaddr"))
    item, document = collect()

    assert lines_of(document) == ["10.9.1.4 203.0.113.9"]
    assert f"{bucket.log} tell no interface: of those all lines" in item.acquisition.filter


def test_that_a_bucket_has_nothing_of_the_time_is_empty(estate: Estate, collect: Collecting) -> None:
    delivered(estate)
    item, document = collect()

    assert (item.outcome.state, list(document["files"].values())) == ("empty", [[]])


@pytest.mark.parametrize(("hive", "hourly"), list(SLOTS))
def test_files_are_found_in_every_layout_and_within_what_the_policy_allows(
    estate: Estate, base: boto3.Session, collect: Collecting, *, hive: bool, hourly: bool
) -> None:
    bucket = delivered(estate, folder="net/flows/", slot=SLOTS[hive, hourly])
    canned, wire = Canned(base), Wire(base)
    canned.xml("DescribeFlowLogs", described(bucket, estate.vpc, hive=hive, hourly=hourly))
    times = [ago(minutes) for minutes in (2, 50)]
    keys = [bucket.put(at, packed(line(estate.interfaces[0]))) for at in times]
    item, document = collect()

    assert item.outcome.state == "collected", item.outcome
    assert [file["key"] for file in document["files"][bucket.log]] == keys
    assert set(PERMISSIONS) <= set(wire.actions)
    listing, reading = (one for one in policy("evidence-policy.json") if set(one["Action"]) & set(PERMISSIONS))
    allowed = listing["Condition"]["StringLike"]["s3:prefix"]
    asked = [one["query_string"]["prefix"] for one in wire.requests if "prefix" in one.get("query_string", {})] or [""]
    assert all(any(fnmatchcase(one, pattern) for pattern in allowed) for one in asked)
    arns = [f"arn:aws:s3:::{bucket.name}/{key}" for key in keys]
    assert all(any(fnmatchcase(one, pattern) for pattern in reading["Resource"]) for one in arns)
    assert not any(fnmatchcase("arn:aws:s3:::data/customers.csv", pattern) for pattern in reading["Resource"])


def test_parquet_is_a_gap_told_in_words(estate: Estate, base: boto3.Session, collect: Collecting) -> None:
    bucket = delivered(estate)
    Canned(base).xml("DescribeFlowLogs", described(bucket, estate.vpc, file_format="parquet"))
    item, _ = collect()

    assert item.outcome.state == "missing"
    assert item.outcome.reason == (
        f"{bucket.log} goes to arn:aws:s3:::{bucket.name}/ as Parquet, which is not read from here"
    )
    (gap,) = item.acquisition.gaps
    assert gap.ended - gap.started >= timedelta(hours=1)


def test_files_of_another_form_are_counted(estate: Estate, collect: Collecting) -> None:
    bucket = delivered(estate)
    bucket.put(ago(10), b"PAR1", suffix="log.parquet")
    bucket.put(ago(10), packed(line(estate.interfaces[0])))
    item, document = collect()

    assert len(lines_of(document)) == 1
    assert item.outcome.state == "truncated"
    assert "1 files are no .log.gz of a time" in item.outcome.reason


@pytest.mark.parametrize(("operation", "action"), [("ListObjectsV2", "s3:ListBucket"), ("GetObject", "s3:GetObject")])
def test_a_bucket_that_may_not_be_read_is_said_with_the_permission_and_who_must_give_it(
    estate: Estate, base: boto3.Session, collect: Collecting, operation: str, action: str
) -> None:
    bucket = delivered(estate)
    bucket.put(ago(10), packed(line(estate.interfaces[0])))
    Canned(base).xml(operation, DENIED, status=403)
    item, document = collect()

    assert item.outcome.state == "truncated"
    assert f"s3-bucket/{bucket.name}: {action} is not allowed (AccessDenied)" in item.outcome.reason
    assert "for a bucket of another account that bucket's policy has to allow it too" in item.outcome.reason
    assert lines_of(document) == []
    assert item.acquisition.gaps[0].ended > datetime.now(UTC) - timedelta(minutes=1)


def test_a_bucket_that_is_gone_is_said(estate: Estate, collect: Collecting) -> None:
    bucket = delivered(estate)
    estate.accounts.client("s3").delete_bucket(Bucket=bucket.name)
    item, _ = collect()

    assert f"s3-bucket/{bucket.name} is not there (NoSuchBucket)" in item.outcome.reason


def test_of_more_files_than_the_bound_the_newest_are_read_and_from_when_on_it_is_whole_is_said(
    estate: Estate, collect: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.aws.evidence_flow_files.MOST_FILES", 2)
    bucket, mine = delivered(estate), estate.interfaces[0]
    for minutes in (10, 20, 30):
        bucket.put(ago(minutes), packed(line(mine, minutes)))
    item, document = collect()
    files = document["files"][bucket.log]

    assert lines_of(document) == [line(mine, 10), line(mine, 20)]
    assert (item.outcome.state, item.acquisition.events) == ("truncated", 2)
    assert "more than the newest 2 files" in item.outcome.reason
    (gap,) = item.acquisition.gaps
    assert gap.ended == datetime.fromisoformat(files[-1]["time"]) + FRAME


def test_more_lines_than_may_be_kept_are_a_gap(
    estate: Estate, collect: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.aws.evidence_flow_lines.MOST_KEPT", 3000)
    bucket, mine = delivered(estate), estate.interfaces[0]
    bucket.put(ago(10), packed(line(mine)))
    bucket.put(ago(20), packed(*[line(mine, 22)] * 100))
    bucket.put(ago(30), packed(line(mine, 23)))
    item, document = collect()
    whole, begun = document["files"][bucket.log]

    assert (len(whole["lines"]), begun["stopped"], begun["sha256"]) == (1, "more lines than may be kept", "")
    assert 0 < len(begun["lines"]) < 100
    assert item.outcome.reason == f"{bucket.log}: more lines than may be kept; 2 files were begun"
    assert item.acquisition.gaps[0].ended == datetime.fromisoformat(begun["time"]) + FRAME


def test_what_is_no_flow_log_costs_itself_alone(estate: Estate, collect: Collecting) -> None:
    bucket, mine = delivered(estate), estate.interfaces[0]
    bucket.put(ago(5), gzip.compress(bytes(64 << 20)))
    bucket.put(ago(15), b"not gzip")
    bucket.put(ago(25), packed(line(mine)))
    item, document = collect()
    bomb, junk, whole = document["files"][bucket.log]

    assert lines_of(document) == [line(mine)]
    assert (item.outcome.state, whole.get("not_read")) == ("truncated", None)
    assert "a line of more than" in bomb["not_read"]
    assert "no gzip" in junk["not_read"]
    assert f"{bucket.log}: 2 files were not read whole, {bomb['key']}" in item.outcome.reason
    assert item.acquisition.gaps[0].started == datetime.fromisoformat(junk["time"]) - FRAME


def test_a_file_that_is_denied_after_others_were_not_costs_itself_alone(
    estate: Estate, wire: Wire, collect: Collecting
) -> None:
    bucket, mine = delivered(estate), estate.interfaces[0]
    for minutes in (10, 20, 30):
        bucket.put(ago(minutes), packed(line(mine, minutes)))
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
    with wire.failing(denied, "before", "s3:GetObject".__eq__, at=1):
        item, document = collect()

    assert lines_of(document) == [line(mine, 10), line(mine, 30)]
    assert f"{bucket.log}: 1 files were not read whole" in item.outcome.reason


def test_a_spent_time_budget_is_a_gap_over_all_that_was_asked_for(estate: Estate, sessions: AwsSessions) -> None:
    bucket = delivered(estate)
    bucket.put(ago(10), packed(line(estate.interfaces[0])))
    account, place = sessions.open(estate.target, "inc-1").account, place_of(estate.target)
    scene, draft = Scene(account, place, "ec2-instance", Forensics()), Draft()
    task = Task("inc-1", estate.target, since=ago(60), deadline=time.monotonic())
    (log,) = estate.ec2.describe_flow_logs()["FlowLogs"]
    reading = Files(scene, draft, task)
    (begun,) = reading.read(log, list(estate.interfaces)) or []

    assert (begun["stopped"], begun["lines"]) == ("the time budget was spent", [])
    assert f"{bucket.log}: the time budget was spent; 1 files were begun" in draft.cut
    assert max(gap.ended for gap in draft.gaps) == reading.until


def test_a_file_that_breaks_off_on_the_way_costs_itself_alone(
    estate: Estate, base: boto3.Session, collect: Collecting
) -> None:
    class Broken:
        def read(self, _amount: int) -> bytes:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=2)

        def close(self) -> None:
            pass

    bucket, mine = delivered(estate), estate.interfaces[0]
    bucket.put(ago(20), packed(line(mine)))
    first = iter([{"Body": Broken()}])
    bucket.put(ago(10), packed(line(mine)))
    # The server here breaks off nothing: a body in place of the first one that it gives.
    base.events.register("after-call.s3.GetObject", lambda parsed, **_: parsed.update(next(first, {})))
    item, document = collect()

    assert lines_of(document) == [line(mine)]
    assert "AWS can't be reached: IncompleteReadError" in item.outcome.reason
