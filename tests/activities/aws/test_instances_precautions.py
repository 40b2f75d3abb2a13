"""What is done for the evidence and the service before an instance is cut off, and how it is taken back."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from playbooks.platform_intent import AwsSpec
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import Estate, build, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.service import classic_balancer, profile, scaling_group, target_group
from tests.activities.aws.wire import Wire

PROTECT = AwsSpec(detach=False, profile="keep")
DETACH = AwsSpec(protect=False, profile="keep")


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts, interfaces=1)


@pytest.fixture
def platform(estate: Estate, wire: Wire, sessions: AwsSessions) -> AwsPlatform:
    return sessions.open(estate.target, "inc-1")


def attribute(estate: Estate, name: str) -> Any:
    answer = estate.ec2.describe_instance_attribute(InstanceId=estate.instance, Attribute=name)
    return answer[name[0].upper() + name[1:]]["Value"]


def kept_on_termination(estate: Estate) -> list[bool]:
    seen = estate.ec2.describe_instances(InstanceIds=[estate.instance])["Reservations"][0]["Instances"][0]
    return [not item["Ebs"]["DeleteOnTermination"] for item in seen["BlockDeviceMappings"]]


def test_termination_and_shutdown_from_inside_destroy_nothing(estate: Estate, platform: AwsPlatform) -> None:
    estate.ec2.modify_instance_attribute(
        InstanceId=estate.instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    change = plan(platform, estate.target, PROTECT)
    engine.apply(platform, change, moment())
    assert attribute(estate, "disableApiTermination") is True
    assert attribute(estate, "instanceInitiatedShutdownBehavior") == "stop"
    assert kept_on_termination(estate) == [True]
    assert plan(platform, estate.target, PROTECT).empty

    engine.release(platform, change, moment(), overwrite=False)
    assert attribute(estate, "disableApiTermination") is False
    assert attribute(estate, "instanceInitiatedShutdownBehavior") == "terminate"
    assert kept_on_termination(estate) == [False]


def test_snapshots_are_begun_once_and_stay_after_the_release(estate: Estate, platform: AwsPlatform) -> None:
    spec = AwsSpec(detach=False, protect=False, profile="keep", snapshot=True)
    change = plan(platform, estate.target, spec)
    engine.apply(platform, change, moment())
    engine.apply(platform, change, moment())
    engine.release(platform, change, moment(), overwrite=False)

    tagged = [{"Name": "tag:firebreak:incident", "Values": ["inc-1"]}]
    (snapshot,) = estate.ec2.describe_snapshots(OwnerIds=["self"], Filters=tagged)["Snapshots"]
    assert snapshot["VolumeId"] in next(setting.words for setting in change.settings if not setting.reversible)
    assert "(can't be taken back)" in " ".join(change.summary)


def test_a_precaution_that_fails_does_not_hold_up_the_cut(estate: Estate, platform: AwsPlatform, wire: Wire) -> None:
    denied = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "ModifyInstanceAttribute")
    change = plan(platform, estate.target, PROTECT)
    with wire.failing(denied, "before", "ec2:ModifyInstanceAttribute".__eq__, at=0):
        applied = engine.apply(platform, change, moment())
    assert estate.cut_off() == [True]
    (problem,) = applied.problems
    assert problem.startswith(f"instance/{estate.instance}: refuse to terminate it: ")
    assert "ModifyInstanceAttribute is not allowed (UnauthorizedOperation)" in problem
    assert len(engine.verify(platform, change).differing) == 1


def members(scaling: Any) -> dict[str, bool]:
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"]
    return {each["InstanceId"]: each["ProtectedFromScaleIn"] for each in group["Instances"]}


def test_an_auto_scaling_group_loses_the_instance_and_gets_it_back(
    accounts: Accounts, estate: Estate, platform: AwsPlatform
) -> None:
    scaling = scaling_group(accounts, estate)
    change = plan(platform, estate.target, DETACH)
    assert "detach it from Auto Scaling group web, which starts another one" in " ".join(change.summary)
    engine.apply(platform, change, moment())
    assert estate.instance not in members(scaling)
    assert len(members(scaling)) == 1  # the group has replaced it

    engine.release(platform, change, moment(), overwrite=False)
    assert members(scaling)[estate.instance] is True


def test_a_full_auto_scaling_group_that_does_not_take_it_back_is_reported_and_the_network_is_restored(
    accounts: Accounts, estate: Estate, platform: AwsPlatform
) -> None:
    scaling = scaling_group(accounts, estate)
    before = estate.groups_of()
    change = plan(platform, estate.target, DETACH)
    engine.apply(platform, change, moment())
    scaling.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=1)

    let_go = engine.release(platform, change, moment(), overwrite=False)
    assert estate.groups_of() == before
    assert [drift.attribute for drift in let_go.drift] == ["auto-scaling-group"]


def test_target_groups_lose_every_registration_of_the_instance_and_get_each_back(
    accounts: Accounts, estate: Estate, platform: AwsPlatform
) -> None:
    elb = accounts.client("elbv2")
    arn = target_group(accounts, estate)
    other = build(accounts, interfaces=1).instance
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": other, "Port": 8080}])

    def registered() -> set[tuple[str, int]]:
        found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {(each["Target"]["Id"], each["Target"]["Port"]) for each in found}

    before = registered()
    change = plan(platform, estate.target, DETACH)
    engine.apply(platform, change, moment())
    assert registered() == {(other, 8080)}
    assert plan(platform, estate.target, DETACH).empty
    engine.release(platform, change, moment(), overwrite=False)
    assert registered() == before


def test_a_classic_load_balancer_loses_the_instance_and_gets_it_back(
    accounts: Accounts, estate: Estate, platform: AwsPlatform
) -> None:
    elb = accounts.client("elb")
    classic_balancer(accounts, estate)

    def behind() -> list[str]:
        (seen,) = elb.describe_load_balancers(LoadBalancerNames=["old"])["LoadBalancerDescriptions"]
        return [each["InstanceId"] for each in seen["Instances"]]

    change = plan(platform, estate.target, DETACH)
    engine.apply(platform, change, moment())
    assert behind() == []
    engine.release(platform, change, moment(), overwrite=False)
    assert behind() == [estate.instance]


def test_sessions_of_the_instance_profiles_role_are_denied_and_allowed_again(
    accounts: Accounts, estate: Estate, platform: AwsPlatform
) -> None:
    profile(accounts, estate)
    iam = accounts.client("iam")
    spec = AwsSpec(detach=False, protect=False, profile="revoke-sessions")
    change = plan(platform, estate.target, spec)
    engine.apply(platform, change, moment())

    name = f"firebreak-inc-1-{estate.instance}"  # of this instance alone: another one of the role keeps its own
    (statement,) = iam.get_role_policy(RoleName="web", PolicyName=name)["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "*")
    assert "aws:TokenIssueTime" in statement["Condition"]["DateLessThan"]
    assert "every session of iam-role/web" in " ".join(change.cuts)
    assert plan(platform, estate.target, spec).empty

    engine.release(platform, change, moment(), overwrite=False)
    assert iam.list_role_policies(RoleName="web")["PolicyNames"] == []


def test_a_detached_instance_profile_comes_back(accounts: Accounts, estate: Estate, platform: AwsPlatform) -> None:
    arn = profile(accounts, estate)

    def associated() -> list[str]:
        filters = [{"Name": "instance-id", "Values": [estate.instance]}]
        found = estate.ec2.describe_iam_instance_profile_associations(Filters=filters)
        return [each["IamInstanceProfile"]["Arn"] for each in found["IamInstanceProfileAssociations"]]

    spec = AwsSpec(detach=False, protect=False, profile="detach")
    change = plan(platform, estate.target, spec)
    engine.apply(platform, change, moment())
    assert associated() == []
    assert "work for up to six hours" in " ".join(change.cannot)
    assert plan(platform, estate.target, spec).empty
    engine.release(platform, change, moment(), overwrite=False)
    assert associated() == [arn]
