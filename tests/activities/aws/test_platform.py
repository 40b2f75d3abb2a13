"""Sessions, errors, permissions and dry runs: what holds for every kind of target in AWS."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import structlog
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    WaiterError,
)

from activities.aws.errors import translate
from activities.aws.platform import ATTRIBUTES, OBSERVERS
from activities.aws.sessions import AwsAccess, AwsSessions, session_name
from activities.killswitch import engine
from activities.killswitch.platform import (
    PermissionMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnreachable,
    TargetUnknown,
)
from lab.control import free_port
from playbooks.change import Setting
from segmentation.workloads import AWS_KINDS, Workload
from tests.activities.aws.accounts import Accounts, session_of
from tests.activities.aws.estate import LEAN, build, intent_for, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.wire import Wire

SWITCH = "ModifyNetworkInterfaceAttribute"


def refused(code: str, operation: str = SWITCH) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def assumptions(wire: Wire) -> list[dict[str, str]]:
    """What was sent to STS."""
    sent = [request["body"] for request in wire.requests if request["body"].get("Action") == "AssumeRole"]
    return [{key: str(value) for key, value in body.items()} for body in sent]


def test_the_role_is_assumed_with_external_id_and_a_tag_that_carries_the_incident(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    sessions.open(accounts.target("subnet", "subnet-1"), "inc-42").account.client("ec2")
    (sent,) = assumptions(wire)
    assert sent["RoleArn"] == f"arn:aws:iam::{accounts.account}:role/firebreak-containment"
    assert sent["ExternalId"] == "firebreak-tests"
    assert sent["RoleSessionName"] == "firebreak-inc-42"
    assert (sent["Tags.member.1.Key"], sent["Tags.member.1.Value"]) == ("firebreak:incident", "inc-42")


def test_calls_land_in_the_account_and_region_of_the_target(accounts: Accounts, sessions: AwsSessions) -> None:
    account = sessions.open(accounts.target("subnet", "subnet-1", region="us-west-2"), "inc-1").account
    assert account.client("sts").get_caller_identity()["Account"] == accounts.account
    assert account.client("ec2").meta.region_name == "us-west-2"


def test_one_session_serves_every_target_of_an_incident_in_an_account(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    targets = [accounts.target("subnet", f"subnet-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        clients = set(pool.map(lambda target: sessions.open(target, "inc-1").account.client("ec2"), targets))
    assert (len(clients), len(assumptions(wire))) == (1, 1)
    sessions.open(targets[0], "inc-2").account.client("ec2")
    assert len(assumptions(wire)) == 2


def test_a_session_that_is_about_to_end_is_not_used_any_more(
    accounts: Accounts, wire: Wire, sessions: AwsSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = sessions.open(accounts.target("subnet", "subnet-1"), "inc-1").account
    account.client("ec2")
    monkeypatch.setattr("activities.aws.sessions.RENEW_BEFORE", timedelta(hours=2))
    account.client("ec2")
    assert len(assumptions(wire)) == 2


def test_a_session_that_aws_does_not_take_any_more_is_replaced_at_the_next_try(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    wire.answers("DescribeInstances", "ExpiredToken", 400, times=1)
    with pytest.raises(PlatformUnreachable, match="does not accept our session for ec2:DescribeInstances"):
        platform.observe(estate.target, intent_for(estate.target))
    assert platform.observe(estate.target, intent_for(estate.target)).target_id == estate.instance
    assert len(assumptions(wire)) == 2


def test_a_long_incident_id_still_makes_a_session_name_that_sts_takes() -> None:
    name = session_name("inc-" + "x" * 200)
    assert len(name) <= 64
    assert name != session_name("inc-" + "x" * 201)


def test_no_credential_is_in_what_a_session_shows_of_itself(accounts: Accounts, sessions: AwsSessions) -> None:
    account = sessions.open(accounts.target("subnet", "subnet-1"), "inc-1").account
    with structlog.testing.capture_logs() as logs:
        client = account.client("ec2")
    secret = client._request_signer._credentials.secret_key
    shown = f"{account!r} {sessions._sessions!r} {logs!r}"
    assert "account" in shown
    assert secret not in shown


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (refused("UnauthorizedOperation"), PermissionMissing, "ModifyNetworkInterfaceAttribute is not allowed"),
        (refused("AccessDenied", "PutRolePolicy"), PermissionMissing, "PutRolePolicy is not allowed"),
        (refused("InvalidInstanceID.NotFound"), TargetUnknown, "eni/1 is not there"),
        (refused("NoSuchEntity"), TargetUnknown, "eni/1 is not there"),
        (refused("RequestLimitExceeded"), PlatformThrottled, "after retries with jitter"),
        (refused("ThrottlingException"), PlatformThrottled, "throttles"),
        (refused("DependencyViolation"), PlatformRefused, "was refused"),
        (refused("InternalError"), PlatformUnreachable, "failed inside AWS"),
        (EndpointConnectionError(endpoint_url="https://x"), PlatformUnreachable, "can't be reached"),
        (ReadTimeoutError(endpoint_url="https://x"), PlatformUnreachable, "can't be reached"),
        (NoCredentialsError(), PlatformUnreachable, "gets no AWS credentials of its own"),
        (CredentialRetrievalError(provider="sso", error_msg="x"), PlatformUnreachable, "gets no AWS credentials"),
        (WaiterError("group", "Max attempts exceeded", {}), PlatformUnreachable, "not done in time: Max attempts"),
        (ConnectionClosedError(endpoint_url="https://x"), PlatformUnreachable, "can't be reached"),
        (ParamValidationError(report="x"), PlatformRefused, "x"),
    ],
)
def test_what_botocore_raises_is_told_apart(error: Exception, expected: type[Exception], words: str) -> None:
    said = translate(error, "eni/1")
    assert (type(said), said.retryable) == (expected, expected in (PlatformThrottled, PlatformUnreachable))
    assert words in said.summary


def test_a_missing_permission_is_named_as_iam_names_it(accounts: Accounts, wire: Wire, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    change = plan(platform, estate.target)
    wire.answers(SWITCH, "UnauthorizedOperation", 403, times=1)
    with pytest.raises(PermissionMissing, match=r"ec2:ModifyNetworkInterfaceAttribute is not allowed") as missing:
        engine.apply(platform, change, moment())
    assert estate.interfaces[0] in missing.value.summary
    assert estate.cut_off() == [False]


def test_throttling_is_retried_with_jitter_and_said_so(accounts: Accounts, wire: Wire, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    change = plan(platform, estate.target)
    wire.answers(SWITCH, "RequestLimitExceeded", 503, times=1)
    with structlog.testing.capture_logs() as logs:
        engine.apply(platform, change, moment())
    assert estate.cut_off() == [True]
    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert said["event"] == "AWS throttles, retrying with jitter"
    assert said["action"] == f"ec2:{SWITCH}"


def test_throttling_that_does_not_end_is_an_error_that_can_be_tried_again(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    change = plan(platform, estate.target)
    wire.answers(SWITCH, "RequestLimitExceeded", 503, times=9)
    with pytest.raises(PlatformThrottled) as throttled:
        engine.apply(platform, change, moment())
    assert throttled.value.retryable
    assert estate.cut_off() == [False]


def test_an_aws_that_does_not_answer_is_unreachable_within_bounded_time(accounts: Accounts) -> None:
    access = AwsAccess(endpoint_url=f"http://127.0.0.1:{free_port()}", external_id="xx", attempts=1)
    sessions = AwsSessions(access, session_of("worker"))
    target = accounts.target("subnet", "subnet-1")
    with pytest.raises(PlatformUnreachable, match="EndpointConnectionError"):
        sessions.open(target, "inc-1").observe(target, intent_for(target))


def test_a_target_that_is_not_in_aws_is_refused(sessions: AwsSessions) -> None:
    with pytest.raises(TargetUnknown, match="no account, region and name"):
        sessions.open(Workload(workload_id="w", kind="ec2-instance", name="w"), "inc-1")


def test_every_kind_of_target_in_aws_has_an_observer() -> None:
    assert set(OBSERVERS) == AWS_KINDS


def test_a_setting_that_nothing_here_sets_is_refused(accounts: Accounts, sessions: AwsSessions) -> None:
    platform = sessions.open(accounts.target("subnet", "subnet-1"), "inc-1")
    setting = Setting(resource="moon/1", attribute="phase", before=None, after="full", words="x", permissions=("x",))
    with pytest.raises(PlatformRefused, match="nothing here sets the attribute phase"):
        platform.read(setting)


def test_a_dry_run_reaches_ec2_and_changes_nothing(accounts: Accounts, wire: Wire, sessions: AwsSessions) -> None:
    estate = build(accounts)
    before = estate.groups_of()
    platform = sessions.open(estate.target, "inc-1")
    change = plan(platform, estate.target, LEAN.model_copy(update={"protect": True, "snapshot": True}))
    assert engine.dry_run(platform, change).differing == ()

    dry = {f"ec2:{r['body']['Action']}" for r in wire.requests if r["body"].get("DryRun") in (True, "true")}
    assert dry == {
        "ec2:CreateSecurityGroup",
        "ec2:CreateSnapshots",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyNetworkInterfaceAttribute",
    }
    assert (estate.groups_of(), estate.firebreak_groups()) == (before, {})


def test_a_dry_run_says_which_permission_is_missing(accounts: Accounts, wire: Wire, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    change = plan(platform, estate.target)
    wire.answers(SWITCH, "UnauthorizedOperation", 403, times=1)
    (refusal,) = engine.dry_run(platform, change).differing
    assert f"ec2:{SWITCH} is not allowed" in refusal


def test_every_attribute_declares_permissions_as_iam_spells_them() -> None:
    assert all(attribute.permissions for attribute in ATTRIBUTES.values())
    spelled = [permission.split(":") for attribute in ATTRIBUTES.values() for permission in attribute.permissions]
    assert all(len(parts) == 2 and parts[0].islower() and parts[1][0].isupper() for parts in spelled)
