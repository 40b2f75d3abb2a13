"""Evidence from an account on a real server; what that server can't answer is in test_evidence_mocked."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from activities.aws.evidence import open_evidence
from activities.aws.evidence_scene import Forensics
from activities.aws.sessions import AwsSessions
from activities.contracts.evidence import CollectedItem
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import Estate, build
from tests.activities.aws.service import TRUST, profile
from tests.activities.aws.wire import Wire
from tests.activities.platform_evidence.keeping import Kept, by_label, evidence, order

FORENSIC_ACCOUNT = "200000000002"
POLICY = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
})  # fmt: skip


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts, interfaces=2)


def collect(
    sessions: AwsSessions, target: Workload, kept: Kept, folder: Path, *names: Any, **forensics: str
) -> dict[str, CollectedItem]:
    opening = open_evidence(sessions, Forensics(**forensics))
    return by_label(evidence(opening, kept, folder).collect_from_platform(order(target, aws=names)))


def snapshots(estate: Estate, account: str = "self") -> list[dict[str, Any]]:
    tagged = [{"Name": "tag:firebreak:incident", "Values": ["inc-1"]}]
    found: list[dict[str, Any]] = estate.ec2.describe_snapshots(OwnerIds=[account], Filters=tagged)["Snapshots"]
    return found


def test_configuration_holds_the_instance_and_all_that_decides_whom_it_talks_to(
    estate: Estate, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    user_data = "IyEvYmluL3No"
    estate.ec2.modify_instance_attribute(InstanceId=estate.instance, UserData={"Value": user_data})

    items = collect(sessions, estate.target, kept, tmp_path, "configuration")
    found = kept.document(items["configuration"])

    assert items["configuration"].outcome.state == "collected"
    assert found["instance"]["InstanceId"] == estate.instance
    assert {one["NetworkInterfaceId"] for one in found["interfaces"]} == set(estate.interfaces)
    assert {one["GroupId"] for one in found["security_groups"]} == set(estate.groups[:2])
    assert found["user_data"]["base64"] == user_data
    assert [one["SubnetId"] for one in found["subnets"]] == [estate.subnet]
    assert found["network_acls"]
    assert len(found["volumes"]) == 1
    source = items["configuration"].source
    assert (source.account, source.region) == (estate.accounts.account, "eu-west-1")
    assert source.reference == f"ec2-instance/{estate.instance}"


def test_a_part_that_is_denied_costs_that_part_and_names_the_permission(
    estate: Estate, wire: Wire, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    denied = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeVolumes")
    with wire.failing(denied, "before", "ec2:DescribeVolumes".__eq__, at=0):
        items = collect(sessions, estate.target, kept, tmp_path, "configuration")

    assert items["configuration"].outcome.state == "truncated"
    assert "DescribeVolumes is not allowed" in items["configuration"].outcome.reason
    assert kept.document(items["configuration"])["instance"]["InstanceId"] == estate.instance


def test_what_aws_throttles_is_asked_again(
    estate: Estate, wire: Wire, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    wire.answers("DescribeVolumes", "RequestLimitExceeded", 503, times=1)
    items = collect(sessions, estate.target, kept, tmp_path, "configuration")

    assert items["configuration"].outcome.state == "collected"


def test_every_kind_of_target_has_its_configuration(accounts: Accounts, sessions: AwsSessions, tmp_path: Path) -> None:
    estate = build(accounts, interfaces=1)
    accounts.client("iam").create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    accounts.client("iam").create_user(UserName="ada")
    bucket = f"logs-{accounts.account}"
    location = {"LocationConstraint": "eu-west-1"}
    accounts.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
    kinds: dict[Any, str] = {
        "subnet": estate.subnet, "security-group": estate.groups[0], "iam-role": "web", "iam-user": "ada",
        "s3-bucket": bucket,
    }  # fmt: skip
    for kind, name in kinds.items():
        items = collect(sessions, accounts.target(kind, name), Kept(), tmp_path, "configuration", "console")
        assert items["configuration"].outcome.state == "collected", (kind, items["configuration"].outcome)
        assert items["console"].outcome.reason == f"a target of the kind {kind} has none"


def test_flow_logs_in_cloudwatch_are_read_and_those_in_a_stream_are_said_to_be_elsewhere(
    estate: Estate, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    logs, group, interface = accounts.client("logs"), "/vpc/flows", estate.interfaces[0]
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=f"{interface}-all")
    line = f"2 1 {interface} 10.9.1.4 203.0.113.9 5001 443 6 10 840 1 2 ACCEPT OK"
    now = int(datetime.now(UTC).timestamp() * 1000)
    logs.put_log_events(
        logGroupName=group, logStreamName=f"{interface}-all", logEvents=[{"timestamp": now, "message": line}]
    )
    plain: dict[str, Any] = {"ResourceType": "VPC", "ResourceIds": [estate.vpc], "TrafficType": "ALL"}
    role = f"arn:aws:iam::{accounts.account}:role/flows"
    stream = f"arn:aws:firehose:eu-west-1:{accounts.account}:deliverystream/flows"
    estate.ec2.create_flow_logs(
        **plain, LogDestinationType="cloud-watch-logs", LogGroupName=group, DeliverLogsPermissionArn=role
    )
    estate.ec2.create_flow_logs(**plain, LogDestinationType="kinesis-data-firehose", LogDestination=stream)

    item = collect(sessions, estate.target, kept, tmp_path, "flow-logs")["flow-logs"]
    records = kept.document(item)["records"]

    assert [one["message"] for several in records.values() for one in several] == [line]
    assert item.outcome.state == "truncated"
    assert f"goes to {stream}, which is not read from here" in item.outcome.reason
    assert item.acquisition.events == 1


def test_that_nobody_recorded_flows_is_said(estate: Estate, sessions: AwsSessions, kept: Kept, tmp_path: Path) -> None:
    item = collect(sessions, estate.target, kept, tmp_path, "flow-logs")["flow-logs"]

    assert item.outcome.state == "missing"
    assert item.outcome.reason == "no flow log covers its interfaces: who they talked to was not recorded"


def test_an_instances_identity_is_its_role_with_every_policy(
    estate: Estate, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    profile(accounts, estate)
    iam, text = accounts.client("iam"), POLICY
    iam.put_role_policy(RoleName="web", PolicyName="inline", PolicyDocument=text)
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=text)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="web", PolicyArn=arn)

    found = kept.document(collect(sessions, estate.target, kept, tmp_path, "identities")["identities"])

    assert found["roles_of_target"] == ["web"]
    assert "RoleLastUsed" in found["role web"]
    assert found["inline of role web"]["inline"]["PolicyDocument"] == json.loads(text)
    assert found[f"policy {arn}"]["version"]["Document"] == json.loads(text)


def test_a_users_identity_is_its_keys_with_their_last_use_its_groups_and_its_policies(
    accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    iam, text = accounts.client("iam"), POLICY
    iam.create_user(UserName="ada")
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    iam.create_group(GroupName="admins")
    iam.add_user_to_group(GroupName="admins", UserName="ada")
    iam.put_group_policy(GroupName="admins", PolicyName="all", PolicyDocument=text)

    item = collect(sessions, accounts.target("iam-user", "ada"), kept, tmp_path, "identities")["identities"]
    found = kept.document(item)

    assert item.outcome.state == "collected", item.outcome
    assert found["access_keys"][0]["AccessKeyId"] == key["AccessKeyId"]
    assert "Region" in found["access_keys"][0]
    assert "all" in found["inline of group admins"]
    assert key["SecretAccessKey"] not in kept.artefacts[item.evidence_id].decode()


def test_disks_are_copied_with_a_key_of_ours_and_shared_and_a_second_order_makes_nothing_twice(
    estate: Estate, accounts: Accounts, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    key = accounts.client("kms").create_key()["KeyMetadata"]["Arn"]
    forensics = {"kms_key": key, "account": FORENSIC_ACCOUNT}
    first, again = (collect(sessions, estate.target, kept, tmp_path, "snapshots", **forensics) for _ in range(2))
    lines = kept.document(first["snapshots"])["snapshots"]
    assert {item["snapshots"].outcome.state for item in (first, again)} == {"collected"}
    assert kept.document(again["snapshots"])["snapshots"] == lines
    assert [(line["state"], line["shared_with"]) for line in lines] == [("complete", [FORENSIC_ACCOUNT])]

    original, copy = sorted(snapshots(estate), key=lambda one: one["Encrypted"])
    named = [lines[0][which]["SnapshotId"] for which in ("snapshot", "copy")]
    assert named == [original["SnapshotId"], copy["SnapshotId"]]
    assert copy["KmsKeyId"] == key
    shared = estate.ec2.describe_snapshot_attribute(
        SnapshotId=original["SnapshotId"], Attribute="createVolumePermission"
    )
    assert shared["CreateVolumePermissions"] == [], "what is not re-encrypted is not shared"


def test_a_share_that_is_denied_leaves_the_snapshot_and_names_the_permission(
    estate: Estate, wire: Wire, sessions: AwsSessions, kept: Kept, tmp_path: Path
) -> None:
    denied = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "ModifySnapshotAttribute")
    with wire.failing(denied, "before", "ec2:ModifySnapshotAttribute".__eq__, at=0):
        item = collect(sessions, estate.target, kept, tmp_path, "snapshots", account=FORENSIC_ACCOUNT)["snapshots"]

    assert item.outcome.state == "truncated"
    assert "ModifySnapshotAttribute is not allowed" in item.outcome.reason
    assert len(snapshots(estate)) == 1


def test_the_console_is_an_item_of_text(estate: Estate, sessions: AwsSessions, kept: Kept, tmp_path: Path) -> None:
    items = collect(sessions, estate.target, kept, tmp_path, "console")

    assert items["console"].media_type == "text/plain"
    assert b"Linux version" in kept.artefacts[items["console"].evidence_id]
