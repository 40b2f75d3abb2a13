"""What is called for instances, subnets and security groups is what is declared for them, neither more nor less."""

import pytest

from activities.aws import instances, interfaces, network, own_groups
from activities.aws.platform import AwsPlatform, look_up
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from playbooks.platform_intent import AwsSpec
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import Estate, build, intent_for, moment
from tests.activities.aws.network_cases import GROUP, SUBNET, describe_a_rule_by_hand
from tests.activities.aws.network_cases import replace_an_entry_by_hand as replace_entry
from tests.activities.aws.service import classic_balancer, profile, scaling_group, target_group
from tests.activities.aws.wire import Wire

EVERYTHING = AwsSpec(two_step=True, snapshot=True, profile="detach")
SESSIONS = AwsSpec(detach=False, protect=False)
# No operations: who may assume is asked of the worker, and EC2 itself asks for the last two on the way.
WITHOUT_A_CALL = {"iam:PassRole", "ec2:CreateTags"}
OBSERVING = {**network.OBSERVER_PERMISSIONS, **instances.OBSERVER_PERMISSIONS}


@pytest.fixture
def rich(accounts: Accounts) -> Estate:
    """An instance with everything that a precaution is about."""
    estate = build(accounts, interfaces=1, ipv6=False)
    for add in (profile, scaling_group, target_group, classic_balancer):
        add(accounts, estate)
    estate.ec2.modify_instance_attribute(
        InstanceId=estate.instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    return estate


def observed(
    platform: AwsPlatform, target: Workload, spec: AwsSpec, wire: Wire, beside: AwsSpec | None = None
) -> PlatformChange:
    """A plan, after a look, or two that want different things, that needed what its observer declares and no more."""
    wire.actions.clear()
    if beside is not None:
        platform.observe(target, intent_for(target, spec=beside))
    intent = intent_for(target, spec=spec)
    observation = platform.observe(target, intent)
    assert set(wire.actions) - {"sts:AssumeRole"} == set(OBSERVING[target.kind])
    return plan_aws(observation, intent)


def called(platform: AwsPlatform, change: PlatformChange, wire: Wire) -> set[str]:
    """What was called while the change was applied and taken back, after each setting was held to what it declares."""
    everything: set[str] = set()
    for setting in change.settings:
        wire.actions.clear()
        engine.apply(platform, change.model_copy(update={"settings": (setting,)}), moment())
        attribute, _ = look_up(setting)
        assert set(setting.permissions) == set(attribute.permissions)
        assert set(wire.actions) <= set(attribute.permissions), setting.words
        everything |= set(wire.actions)
    for setting in reversed(change.settings):
        wire.actions.clear()
        engine.release(platform, change.model_copy(update={"settings": (setting,)}), moment(), overwrite=True)
        assert set(wire.actions) <= set(setting.permissions), setting.words
        everything |= set(wire.actions)
    return everything


def test_every_call_for_an_instance_is_declared_and_every_declared_one_is_made(
    rich: Estate, wire: Wire, sessions: AwsSessions
) -> None:
    platform = sessions.open(rich.target, "inc-1")
    change = observed(platform, rich.target, EVERYTHING, wire, beside=SESSIONS)
    kinds = {(setting.resource.partition("/")[0], setting.attribute) for setting in change.settings}
    mine = {**instances.ATTRIBUTES, **own_groups.ATTRIBUTES, **interfaces.ATTRIBUTES}
    assert kinds == set(mine)

    everything = called(platform, change, wire)
    everything |= over_what_somebody_did(rich, platform, change, wire)
    assert everything == set(change.permissions) - WITHOUT_A_CALL


def over_what_somebody_did(rich: Estate, platform: AwsPlatform, change: PlatformChange, wire: Wire) -> set[str]:
    """Calls that are needed only where somebody else was first."""
    by_place = {setting.resource.partition("/")[0] + setting.attribute: setting for setting in change.settings}
    group, given = by_place["quarantine-grouprules"], by_place["instanceinstance-profile"]
    platform.write(group, "new", moment())
    (ours,) = rich.firebreak_groups().values()
    rich.ec2.authorize_security_group_ingress(
        GroupId=ours["GroupId"], CidrIp="0.0.0.0/0", IpProtocol="tcp", FromPort=22, ToPort=22
    )
    wire.actions.clear()
    platform.write(group, [], moment())
    platform.write(given, given.before, moment())
    return set(wire.actions)


def test_every_call_for_a_subnet_is_declared_and_every_declared_one_is_made(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    name = SUBNET.prepare(accounts, "") or ""
    target = accounts.target("subnet", name)
    platform = sessions.open(target, "inc-1")
    change = observed(platform, target, SUBNET.spec, wire)
    everything = called(platform, change, wire)
    engine.apply(platform, change, moment())
    replace_entry(accounts, name)
    wire.actions.clear()
    platform.write(change.settings[0], change.settings[0].after, moment())
    assert everything | set(wire.actions) == set(change.permissions)


def test_every_call_for_a_security_group_is_declared_and_every_declared_one_is_made(
    accounts: Accounts, wire: Wire, sessions: AwsSessions
) -> None:
    name = GROUP.prepare(accounts, "doors") or ""
    target = accounts.target("security-group", name)
    platform = sessions.open(target, "inc-1")
    change = observed(platform, target, GROUP.spec, wire)
    assert called(platform, change, wire) == set(change.permissions)
    describe_a_rule_by_hand(accounts, name)
