"""An instance is cut off although an API that only a precaution needs is away; what nobody wants is not asked for."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PlatformUnreachable
from playbooks.platform_intent import AwsSpec
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import LEAN, Estate, build, intent_for, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.service import profile
from tests.activities.aws.wire import Wire

AWAY = EndpointConnectionError(endpoint_url="https://x")
DENIED = ClientError({"Error": {"Code": "AccessDenied"}}, "GetInstanceProfile")


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts)


@pytest.fixture
def with_a_role(accounts: Accounts, estate: Estate) -> Estate:
    profile(accounts, estate)
    return estate


@pytest.fixture
def platform(estate: Estate, wire: Wire, sessions: AwsSessions) -> AwsPlatform:
    return sessions.open(estate.target, "inc-1")


def test_who_wants_no_precaution_asks_for_nothing_but_the_instance_and_its_network(
    accounts: Accounts, estate: Estate, platform: AwsPlatform, wire: Wire
) -> None:
    profile(accounts, estate)
    change = plan(platform, estate.target, LEAN)
    assert set(wire.actions) - {"sts:AssumeRole"} == {
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
    }
    said = "credentials of the role of instance-profile/web that were taken from the instance"
    assert said in " ".join(change.cannot)


@pytest.mark.parametrize(
    ("service", "error", "part"),
    [
        ("autoscaling:", AWAY, "its Auto Scaling group"),
        ("elasticloadbalancing:DescribeTargetGroups", AWAY, "its load balancers' target groups"),
        ("elasticloadbalancing:DescribeLoadBalancers", AWAY, "its classic load balancers"),
        ("ec2:DescribeInstanceAttribute", AWAY, "its protection from being terminated"),
        ("ec2:DescribeSnapshots", AWAY, "snapshots of its volumes"),
        ("iam:", DENIED, "its instance profile and the role's sessions"),
    ],
)
def test_what_cannot_be_read_is_left_out_in_words_and_every_interface_is_cut(
    with_a_role: Estate, platform: AwsPlatform, wire: Wire, service: str, error: Exception, part: str
) -> None:
    with wire.failing(error, "before", lambda action: action.startswith(service), at=0):
        change = plan(platform, with_a_role.target, AwsSpec(snapshot=True))
    (said,) = [words for words in change.cannot if words.startswith(part)]
    assert "nothing is done about it, for it could not be read: " in said
    assert ("is not allowed (AccessDenied)" if error is DENIED else "EndpointConnectionError") in said

    assert engine.apply(platform, change, moment()).problems == ()
    assert with_a_role.cut_off() == [True, True, True]


def test_an_api_that_stays_silent_holds_the_cut_up_for_a_bounded_time(
    estate: Estate, platform: AwsPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.aws.instances.PATIENCE_SECONDS", 0.5)
    asked, silence = threading.Event(), threading.Event()

    def stay_silent(*_: Any, **__: Any) -> None:
        asked.set()
        silence.wait(30)

    platform.account.client("autoscaling").meta.events.register("before-send", stay_silent)
    try:
        change = plan(platform, estate.target, AwsSpec(protect=False, profile="keep"))
        assert asked.is_set()
        assert "its Auto Scaling group: nothing is done about it" in " ".join(change.cannot)
        assert "did not answer within 0.5 s" in " ".join(change.cannot)
        engine.apply(platform, change, moment())
    finally:
        silence.set()
    assert estate.cut_off() == [True, True, True]


def test_an_instance_whose_own_api_is_away_is_not_planned_at_all(
    estate: Estate, platform: AwsPlatform, wire: Wire
) -> None:
    with (
        wire.failing(AWAY, "before", "ec2:DescribeNetworkInterfaces".__eq__, at=0),
        pytest.raises(PlatformUnreachable),
    ):
        platform.observe(estate.target, intent_for(estate.target, spec=AwsSpec()))
