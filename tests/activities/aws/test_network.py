"""A subnet that denies peers, and a security group that loses its open doors."""

from typing import Any

import pytest

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PlatformRefused, TargetUnknown
from playbooks.aws.subnets import NoRoomForRules
from playbooks.platform_intent import AwsSpec, TargetHeld
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import build, intent_for, moment
from tests.activities.aws.network_cases import (
    PEER,
    PEER6,
    SUBNET,
    look_at_group,
    look_at_subnet,
    prepare_group,
    prepare_subnet,
)
from tests.activities.aws.planning import plan


def acl_of(accounts: Accounts, subnet: str) -> str:
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    return str(accounts.client("ec2").describe_network_acls(Filters=filters)["NetworkAcls"][0]["NetworkAclId"])


def deny(accounts: Accounts, acl: str, numbers: range) -> None:
    for number in numbers:
        accounts.client("ec2").create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            Protocol="-1",
            RuleAction="deny",
            Egress=False,
            CidrBlock=f"198.51.100.{number}/32",
        )


def test_peers_are_denied_in_both_directions_before_what_is_allowed(accounts: Accounts, sessions: AwsSessions) -> None:
    subnet = prepare_subnet(accounts, "")
    before = look_at_subnet(accounts, subnet)
    platform = sessions.open(accounts.target("subnet", subnet), "inc-1")
    change = plan(platform, accounts.target("subnet", subnet), SUBNET.spec)
    engine.apply(platform, change, moment())

    added = {key: entry for key, entry in look_at_subnet(accounts, subnet).items() if key not in before}
    # 99 is taken by the owner's own deny.
    assert added == {
        "ingress 98": ["deny", PEER],
        "ingress 97": ["deny", PEER6],
        "egress 98": ["deny", PEER],
        "egress 97": ["deny", PEER6],
    }
    assert plan(platform, accounts.target("subnet", subnet), SUBNET.spec).empty


def test_an_acl_without_room_is_said_to_be_full_before_anything_is_set(
    accounts: Accounts, sessions: AwsSessions
) -> None:
    subnet = prepare_subnet(accounts, "")
    deny(accounts, acl_of(accounts, subnet), range(1, 17))
    before = look_at_subnet(accounts, subnet)
    target = accounts.target("subnet", subnet)
    with pytest.raises(NoRoomForRules, match=r"takes 0 more entries \(ingress\).*2 are needed") as full:
        plan(sessions.open(target, "inc-1"), target, SUBNET.spec)
    assert "contain the instances instead" in full.value.hint
    assert look_at_subnet(accounts, subnet) == before


def test_an_acl_that_somebody_fills_after_the_plan_refuses_and_says_why(
    accounts: Accounts, sessions: AwsSessions
) -> None:
    subnet = prepare_subnet(accounts, "")
    target = accounts.target("subnet", subnet)
    platform = sessions.open(target, "inc-1")
    change = plan(platform, target, SUBNET.spec)
    deny(accounts, acl_of(accounts, subnet), range(1, 17))
    with pytest.raises(PlatformRefused, match="NetworkAclEntryLimitExceeded"):
        engine.apply(platform, change, moment())


def test_the_plan_names_every_subnet_that_shares_the_acl(accounts: Accounts, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    beside = estate.ec2.create_subnet(VpcId=estate.vpc, CidrBlock="10.9.2.0/24")["Subnet"]["SubnetId"]
    target = accounts.target("subnet", estate.subnet)
    change = plan(sessions.open(target, "inc-1"), target, SUBNET.spec)
    assert f"the same for subnet/{beside}" in " ".join(change.cuts)
    assert f"traffic inside subnet/{estate.subnet}" in " ".join(change.cannot)


def test_an_unknown_subnet_is_said_to_be_unknown(accounts: Accounts, sessions: AwsSessions) -> None:
    target = accounts.target("subnet", "subnet-0123456789abcdef0")
    with pytest.raises(TargetUnknown, match="subnet-0123456789abcdef0"):
        sessions.open(target, "inc-1").observe(target, intent_for(target))


def rules(accounts: Accounts, group: str) -> dict[str, Any]:
    return {
        key.removeprefix("False "): value for key, value in look_at_group(accounts, group).items() if "False" in key
    }


def test_rules_that_open_a_port_to_everybody_are_revoked_and_restored_with_words_and_tags(
    accounts: Accounts, sessions: AwsSessions
) -> None:
    group = prepare_group(accounts, "jump")
    before = rules(accounts, group)
    target = accounts.target("security-group", group)
    platform = sessions.open(target, "inc-1")
    change = plan(platform, target, AwsSpec())
    engine.apply(platform, change, moment())

    assert list(rules(accounts, group)) == ["tcp 443 10.0.0.0/8"]
    assert plan(platform, target, AwsSpec()).empty
    assert engine.release(platform, change, moment(), overwrite=False).restored
    assert rules(accounts, group) == before
    assert before["tcp 22 0.0.0.0/0"] == (22, "everybody", [{"Key": "owner", "Value": "ops"}])


def test_only_rules_that_reach_a_named_port_are_revoked(accounts: Accounts, sessions: AwsSessions) -> None:
    group = prepare_group(accounts, "jump")
    target = accounts.target("security-group", group)
    change = plan(sessions.open(target, "inc-1"), target, AwsSpec(ports=(3389,)))
    held, setting = change.settings
    assert (held.attribute, held.after) == ("held-by", "inc-1")
    assert setting.words == f"{group}: revoke tcp 3000-4000 from 0.0.0.0/0"


def test_a_group_that_firebreak_made_is_no_target(accounts: Accounts, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    platform = sessions.open(estate.target, "inc-1")
    engine.apply(platform, plan(platform, estate.target), moment())
    (ours,) = estate.firebreak_groups().values()
    target = accounts.target("security-group", ours["GroupId"])
    with pytest.raises(TargetHeld, match="made for inc-1"):
        plan(sessions.open(target, "inc-2"), target)
