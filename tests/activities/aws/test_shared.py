"""Two containments that share an effect: whoever lets go first takes nothing away from the other."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.contracts.killswitch import LetGo
from activities.killswitch import engine
from activities.killswitch.platform import PlanStale
from playbooks.change import PlatformChange
from playbooks.platform_intent import AwsSpec, TargetHeld
from segmentation.workloads import Workload
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import State
from tests.activities.aws.estate import build, moment
from tests.activities.aws.network_cases import (
    PEER,
    PEER6,
    look_at_group,
    look_at_subnet,
    prepare_group,
    prepare_subnet,
    subnet_open_to,
)
from tests.activities.aws.planning import plan
from tests.activities.aws.wire import Crash, Wire, changes

BOTH = AwsSpec.model_validate({"peers": [PEER, PEER6]})
OTHER = AwsSpec.model_validate({"peers": ["198.51.100.0/24"]})


class Hold(NamedTuple):
    """One containment."""

    platform: AwsPlatform
    change: PlatformChange

    def apply(self) -> None:
        engine.apply(self.platform, self.change, moment())
        assert engine.verify(self.platform, self.change).differing == ()

    def release(self, *, overwrite: bool = False) -> LetGo:
        return engine.release(self.platform, self.change, moment(), overwrite=overwrite)


class Neighbours:
    """Two subnets behind one network ACL."""

    def __init__(self, accounts: Accounts, sessions: AwsSessions) -> None:
        self.accounts, self.sessions = accounts, sessions
        self.first = prepare_subnet(accounts, "")
        ec2 = accounts.client("ec2")
        vpc = ec2.describe_subnets(SubnetIds=[self.first])["Subnets"][0]["VpcId"]
        self.second = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.200.0/24")["Subnet"]["SubnetId"]
        acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        (theirs,) = [acl for acl in acls if self.first in {one["SubnetId"] for one in acl["Associations"]}]
        (own,) = [
            (acl["NetworkAclId"], one["NetworkAclAssociationId"])
            for acl in acls
            for one in acl["Associations"]
            if one["SubnetId"] == self.second
        ]
        self.acl = theirs["NetworkAclId"]
        if own[0] != self.acl:
            ec2.replace_network_acl_association(AssociationId=own[1], NetworkAclId=self.acl)

    def target(self, subnet: str) -> Workload:
        return self.accounts.target("subnet", subnet)

    def planned(self, subnet: str, incident: str, spec: AwsSpec = BOTH) -> Hold:
        platform = self.sessions.open(self.target(subnet), incident)
        target_platform = AwsPlatform(platform.account)
        return Hold(target_platform, plan(target_platform, self.target(subnet), spec))

    def state(self) -> tuple[State, list[dict[str, str]]]:
        acl = self.accounts.client("ec2").describe_network_acls(NetworkAclIds=[self.acl])["NetworkAcls"][0]
        return look_at_subnet(self.accounts, self.first), acl["Tags"]

    def closed(self) -> bool:
        everything = {f"{side} {peer}" for side in ("ingress", "egress") for peer in (PEER, PEER6)}
        return not everything & subnet_open_to(look_at_subnet(self.accounts, self.first))


@pytest.fixture
def neighbours(accounts: Accounts, sessions: AwsSessions) -> Neighbours:
    return Neighbours(accounts, sessions)


@pytest.mark.parametrize("at_once", [False, True], ids=["one-after-the-other", "planned-at-once"])
@pytest.mark.parametrize("first_out", [0, 1])
@pytest.mark.parametrize("incidents", [("inc-1", "inc-1"), ("inc-1", "inc-2")], ids=["one-incident", "two-incidents"])
def test_entries_that_two_subnets_share_stand_until_both_have_let_go(
    neighbours: Neighbours, incidents: tuple[str, str], first_out: int, at_once: bool
) -> None:
    original = neighbours.state()
    one = neighbours.planned(neighbours.first, incidents[0])
    if not at_once:
        one.apply()
    two = neighbours.planned(neighbours.second, incidents[1])
    one.apply()
    two.apply()
    assert len(neighbours.state()[0]) == len(original[0]) + 4, "two entries a direction, and none twice"

    holds = [one, two]
    gone, left = holds[first_out], holds[1 - first_out]
    let_go = gone.release()
    assert let_go.restored
    assert len(let_go.kept) == 4
    assert "holds it too" in let_go.kept[0]
    assert neighbours.closed()
    assert engine.verify(left.platform, left.change).differing == ()
    assert gone.release().kept == let_go.kept, "asked again it says the same"
    assert left.release().kept == ()
    assert neighbours.state() == original


def test_two_who_deny_the_same_in_the_same_moment_both_hold_it(neighbours: Neighbours) -> None:
    original = neighbours.state()
    for _ in range(3):
        one = neighbours.planned(neighbours.first, "inc-1")
        two = neighbours.planned(neighbours.second, "inc-1")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Hold.apply, (one, two)))
        one.release()
        assert neighbours.closed()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Hold.release, (one, two)))
        assert neighbours.state() == original


def test_one_subnet_in_two_incidents_is_held_by_both(neighbours: Neighbours) -> None:
    original = neighbours.state()
    one = neighbours.planned(neighbours.first, "inc-1")
    one.apply()
    two = neighbours.planned(neighbours.first, "inc-2")
    two.apply()
    assert neighbours.planned(neighbours.first, "inc-2").change.empty
    one.release()
    assert neighbours.closed()
    two.release()
    assert neighbours.state() == original


def test_a_number_that_another_incident_has_just_taken_makes_the_plan_stale(neighbours: Neighbours) -> None:
    one = neighbours.planned(neighbours.first, "inc-1")
    two = neighbours.planned(neighbours.second, "inc-2", OTHER)
    one.apply()
    stands = neighbours.state()
    with pytest.raises(PlanStale, match="has put another entry"):
        two.apply()
    assert neighbours.state() == stands


def test_an_entry_replaced_by_hand_is_not_held_any_more_once_that_was_reported(neighbours: Neighbours) -> None:
    original = neighbours.state()
    one = neighbours.planned(neighbours.first, "inc-1")
    one.apply()
    number = int(one.change.settings[0].resource.rpartition("/")[2])
    theirs = {"RuleNumber": number, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "203.0.0.0/8"}
    neighbours.accounts.client("ec2").replace_network_acl_entry(NetworkAclId=neighbours.acl, Egress=False, **theirs)
    assert [drift.resource for drift in one.release().drift] == [one.change.settings[0].resource]
    assert neighbours.state()[1] == original[1], "no mark is left"
    assert one.release(overwrite=True).restored
    assert neighbours.state() == original


@pytest.mark.parametrize("side", ["before", "after"])
def test_whoever_dies_letting_go_leaves_the_other_closed(
    side: str, wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    neighbours = Neighbours(accounts, sessions)
    original = neighbours.state()
    for at in range(5):
        one = neighbours.planned(neighbours.first, "inc-1")
        one.apply()
        two = neighbours.planned(neighbours.second, "inc-1")
        two.apply()
        for hold, closed in ((one, True), (two, False)):
            try:
                with wire.failing(Crash(), side, changes, at):  # type: ignore[arg-type]  # one of the two sides
                    hold.release()
            except Crash:
                hold.release()
            assert neighbours.closed() or not closed
        assert neighbours.state() == original


def test_a_security_group_whose_rules_an_incident_revoked_is_refused_to_another(
    accounts: Accounts, sessions: AwsSessions
) -> None:
    group = prepare_group(accounts, "jump")
    original = look_at_group(accounts, group)
    target = accounts.target("security-group", group)
    one, two = (sessions.open(target, incident) for incident in ("inc-1", "inc-2"))
    held = Hold(one, plan(one, target, AwsSpec()))
    held.apply()
    assert plan(one, target, AwsSpec()).empty
    with pytest.raises(TargetHeld, match="contained by inc-1 already") as refused:
        plan(two, target, AwsSpec())
    assert "ask again once that one has released it" in refused.value.hint
    assert held.release().restored
    assert look_at_group(accounts, group) == original
    assert accounts.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0].get("Tags", []) == []
    again = Hold(two, plan(two, target, AwsSpec()))
    again.apply()
    assert again.release().restored


def test_two_incidents_that_want_a_security_group_at_once_do_not_both_get_it(
    accounts: Accounts, sessions: AwsSessions
) -> None:
    build(accounts, interfaces=1)
    group = prepare_group(accounts, "jump")
    target = accounts.target("security-group", group)
    one, two = (
        Hold(platform, plan(platform, target, AwsSpec()))
        for platform in (sessions.open(target, "inc-1"), sessions.open(target, "inc-2"))
    )
    one.apply()
    with pytest.raises(PlanStale, match="held-by"):
        two.apply()
