"""An EC2 instance with three interfaces, cut off and given back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PlanStale, PlatformRefused, PlatformThrottled, TargetUnknown
from playbooks.change import PlatformChange
from playbooks.platform_intent import TargetHeld
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import IMAGE, LEAN, Estate, build, intent_for, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.wire import Wire

SWITCH = "ec2:ModifyNetworkInterfaceAttribute"


@pytest.fixture
def estate(accounts: Accounts) -> Estate:
    return build(accounts)


@pytest.fixture
def platform(estate: Estate, wire: Wire, sessions: AwsSessions) -> AwsPlatform:
    return sessions.open(estate.target, "inc-1")


def test_every_interface_is_in_a_group_that_lets_nothing_through(estate: Estate, platform: AwsPlatform) -> None:
    change = plan(platform, estate.target)
    engine.apply(platform, change, moment())

    (group,) = estate.firebreak_groups().values()
    assert estate.groups_of() == {interface: [group["GroupId"]] for interface in estate.interfaces}
    assert group["IpPermissions"] == group["IpPermissionsEgress"] == []
    assert engine.verify(platform, change).differing == ()


def test_a_plan_of_an_isolated_instance_is_empty(estate: Estate, platform: AwsPlatform) -> None:
    engine.apply(platform, plan(platform, estate.target), moment())
    assert plan(platform, estate.target).empty


def test_the_group_is_made_and_empty_before_any_interface_is_switched(
    estate: Estate, platform: AwsPlatform, wire: Wire
) -> None:
    engine.apply(platform, plan(platform, estate.target), moment())
    made, emptied = (wire.actions.index(f"ec2:{call}") for call in ("CreateSecurityGroup", "RevokeSecurityGroupEgress"))
    read_back = wire.actions.index("ec2:DescribeSecurityGroups", emptied)
    assert made < emptied < read_back < wire.actions.index(SWITCH)


def test_release_gives_every_interface_its_own_groups_back_and_deletes_ours(
    estate: Estate, platform: AwsPlatform
) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target)
    engine.apply(platform, change, moment())
    let_go = engine.release(platform, change, moment(), overwrite=False)

    assert (let_go.restored, let_go.was_standing) == (True, True)
    assert estate.groups_of() == before
    assert estate.firebreak_groups() == {}


def test_a_failure_at_the_second_interface_leaves_the_first_cut_and_the_others_as_they_were(
    estate: Estate, platform: AwsPlatform, wire: Wire
) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target)
    broken = ClientError({"Error": {"Code": "RequestLimitExceeded"}}, "ModifyNetworkInterfaceAttribute")
    with wire.failing(broken, "before", SWITCH.__eq__, at=1), pytest.raises(PlatformThrottled):
        engine.apply(platform, change, moment())

    first, second, third = estate.interfaces
    assert estate.cut_off() == [True, False, False]
    assert {key: groups for key, groups in estate.groups_of().items() if key != first} == {
        second: before[second],
        third: before[third],
    }

    assert engine.apply(platform, change, moment()).changed == 2
    assert estate.cut_off() == [True, True, True]
    engine.release(platform, change, moment(), overwrite=False)
    assert estate.groups_of() == before


def test_two_steps_pass_through_a_group_that_allows_all_and_end_in_one_that_allows_nothing(
    estate: Estate, platform: AwsPlatform, wire: Wire
) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target, LEAN.model_copy(update={"two_step": True}))
    engine.apply(platform, change, moment())

    assert wire.actions.count(SWITCH) == 2 * len(estate.interfaces)
    assert estate.cut_off() == [True, True, True]
    opened = estate.firebreak_groups()[f"firebreak-inc-1-{estate.instance}-open"]
    for side in ("IpPermissions", "IpPermissionsEgress"):
        (rule,) = opened[side]
        assert (rule["IpProtocol"], rule["IpRanges"][0]["CidrIp"]) == ("-1", "0.0.0.0/0")
        assert rule["Ipv6Ranges"][0]["CidrIpv6"] == "::/0"

    engine.release(platform, change, moment(), overwrite=False)
    assert (estate.groups_of(), estate.firebreak_groups()) == (before, {})


def test_an_instance_that_another_incident_holds_is_refused(
    estate: Estate, platform: AwsPlatform, sessions: AwsSessions
) -> None:
    engine.apply(platform, plan(platform, estate.target), moment())
    with pytest.raises(TargetHeld, match=r"contained by inc-1 already") as refused:
        plan(sessions.open(estate.target, "inc-2"), estate.target)
    assert refused.value.code == "target-held"


def test_a_plan_made_before_somebody_changed_the_groups_is_stale(estate: Estate, platform: AwsPlatform) -> None:
    change = plan(platform, estate.target)
    estate.put(estate.interfaces[1], estate.groups[2])
    with pytest.raises(PlanStale, match=estate.interfaces[1]):
        engine.apply(platform, change, moment())


def test_release_leaves_what_somebody_changed_and_says_so(estate: Estate, platform: AwsPlatform) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target)
    engine.apply(platform, change, moment())
    moved = estate.interfaces[1]
    estate.put(moved, estate.groups[2])

    let_go = engine.release(platform, change, moment(), overwrite=False)
    assert not let_go.restored
    assert [drift.resource for drift in let_go.drift] == [f"network-interface/{moved}"]
    assert estate.groups_of() == before | {moved: [estate.groups[2]]}

    assert engine.release(platform, change, moment(), overwrite=True).restored
    assert estate.groups_of() == before


def test_a_group_of_ours_that_is_still_in_use_is_reported_and_the_rest_is_restored(
    estate: Estate, platform: AwsPlatform
) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target)
    engine.apply(platform, change, moment())
    (ours,) = estate.firebreak_groups().values()
    moved = estate.interfaces[2]
    estate.put(moved, ours["GroupId"], estate.groups[1])

    let_go = engine.release(platform, change, moment(), overwrite=False)
    assert {drift.resource.partition("/")[0] for drift in let_go.drift} == {"network-interface", "quarantine-group"}
    assert {**estate.groups_of(), moved: before[moved]} == before


def test_renewal_puts_an_interface_back_that_somebody_took_out(estate: Estate, platform: AwsPlatform) -> None:
    before = estate.groups_of()
    change = plan(platform, estate.target)
    engine.apply(platform, change, moment())
    estate.put(estate.interfaces[0], *before[estate.interfaces[0]])
    assert engine.renew(platform, change, moment()).changed == 1
    assert estate.cut_off() == [True, True, True]


def test_no_interface_is_switched_into_a_group_of_ours_that_somebody_opened(
    estate: Estate, platform: AwsPlatform
) -> None:
    change = plan(platform, estate.target)
    group, *switches = change.settings
    engine.apply(platform, change.model_copy(update={"settings": (group,)}), moment())
    (ours,) = estate.firebreak_groups().values()
    estate.ec2.authorize_security_group_ingress(
        GroupId=ours["GroupId"], CidrIp="0.0.0.0/0", IpProtocol="tcp", FromPort=22, ToPort=22
    )
    with pytest.raises(PlatformRefused, match="rules that are not ours: ingress tcp 22-22"):
        engine.apply(platform, change.model_copy(update={"settings": tuple(switches)}), moment())
    with pytest.raises(PlanStale, match="quarantine-group"):
        engine.apply(platform, change, moment())
    assert estate.cut_off() == [False, False, False]


def test_somebody_elses_group_of_the_same_name_is_left_alone(estate: Estate, platform: AwsPlatform) -> None:
    name = f"firebreak-inc-1-{estate.instance}"
    estate.ec2.create_security_group(GroupName=name, Description="theirs", VpcId=estate.vpc)
    with pytest.raises(PlatformRefused, match="does not carry the tag firebreak:incident"):
        engine.apply(platform, plan(platform, estate.target), moment())
    assert estate.cut_off() == [False, False, False]


def test_targets_of_one_incident_in_one_vpc_are_cut_side_by_side_and_released_one_by_one(
    estate: Estate, sessions: AwsSessions
) -> None:
    ran = estate.ec2.run_instances(
        ImageId=IMAGE, MinCount=3, MaxCount=3, SubnetId=estate.subnet, SecurityGroupIds=[estate.groups[0]]
    )
    names = [estate.instance, *(each["InstanceId"] for each in ran["Instances"])]
    targets = [estate.accounts.target("ec2-instance", name) for name in names]

    def contain(target: Workload) -> PlatformChange:
        platform = sessions.open(target, "inc-1")
        change = plan(platform, target)
        engine.apply(platform, change, moment())
        return change

    with ThreadPoolExecutor(len(targets)) as pool:
        changes = list(pool.map(contain, targets))
    assert len(estate.firebreak_groups()) == len(targets)
    assert engine.release(sessions.open(targets[0], "inc-1"), changes[0], moment(), overwrite=False).restored
    for target, change in zip(targets[1:], changes[1:], strict=True):
        assert engine.verify(sessions.open(target, "inc-1"), change).differing == ()


def test_an_unknown_instance_is_said_to_be_unknown(accounts: Accounts, sessions: AwsSessions) -> None:
    target = accounts.target("ec2-instance", "i-0123456789abcdef0")
    with pytest.raises(TargetUnknown, match="i-0123456789abcdef0"):
        sessions.open(target, "inc-1").observe(target, intent_for(target))


def test_a_terminated_instance_is_said_to_be_gone(estate: Estate, platform: AwsPlatform) -> None:
    change = plan(platform, estate.target)
    estate.ec2.terminate_instances(InstanceIds=[estate.instance])
    with pytest.raises(TargetUnknown, match="not there any more"):
        platform.observe(estate.target, intent_for(estate.target))
    assert [words for words in engine.verify(platform, change).differing if estate.interfaces[0] in words]
