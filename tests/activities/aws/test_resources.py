"""Buckets and functions, contained and let go on the server."""

import json
from typing import Any

import pytest

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import TargetUnknown
from playbooks.aws.plan import plan_aws
from playbooks.aws.resources import PolicyTooLong
from playbooks.change import PlatformChange
from playbooks.platform_intent import TargetHeld
from tests.activities.aws import judge
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import BUCKET, CASES, FUNCTION, Case
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Wire

RESOURCES = ["bucket", "bare-bucket", "function", "limited-function"]
OURS = "arn:aws:iam::{}:role/firebreak-containment"


class Held:
    """One resource of an account, opened for incidents; names of buckets are shared by all accounts."""

    def __init__(self, case: Case, accounts: Accounts, sessions: AwsSessions) -> None:
        self.case, self.accounts, self.sessions = case, accounts, sessions
        self.name = f"held-{accounts.account}"
        self.target = accounts.target(case.kind, self.name)

    def open(self, incident: str = "inc-1") -> AwsPlatform:
        return self.sessions.open(self.target, incident)

    def plan(self, incident: str = "inc-1") -> PlatformChange:
        intent = self.case.intent(self.target, incident)
        return plan_aws(self.open(incident).observe(self.target, intent), intent)

    def contain(self, incident: str = "inc-1") -> PlatformChange:
        change = self.plan(incident)
        engine.apply(self.open(incident), change, moment())
        return change

    def look(self) -> dict[str, Any]:
        return self.case.look(self.accounts, self.name)


@pytest.fixture
def held(request: pytest.FixtureRequest, accounts: Accounts, sessions: AwsSessions) -> Held:
    case = CASES[request.param]
    made = Held(case, accounts, sessions)
    case.prepare(accounts, made.name)
    return made


@pytest.mark.parametrize("held", RESOURCES, indirect=True)
def test_what_is_contained_stands_is_planned_empty_and_is_restored(held: Held) -> None:
    before = held.look()
    change = held.contain()

    assert engine.verify(held.open(), change).differing == ()
    assert held.case.open_to(held.look()) == set()
    assert held.plan().empty
    assert engine.release(held.open(), change, moment(), overwrite=False).restored
    assert held.look() == before


@pytest.mark.parametrize("held", RESOURCES, indirect=True)
def test_a_target_of_another_incident_is_held(held: Held) -> None:
    held.contain("inc-1")
    with pytest.raises(TargetHeld, match="another incident"):
        held.plan("inc-2")


@pytest.mark.parametrize("held", ["bucket"], indirect=True)
def test_a_bucket_s_policy_is_restored_to_the_letter(held: Held) -> None:
    s3 = held.accounts.client("s3")
    document = s3.get_bucket_policy(Bucket=held.name)["Policy"]
    change = held.contain()
    engine.release(held.open(), change, moment(), overwrite=False)
    assert json.loads(s3.get_bucket_policy(Bucket=held.name)["Policy"]) == json.loads(document)
    assert list(json.loads(s3.get_bucket_policy(Bucket=held.name)["Policy"])) == list(json.loads(document))


@pytest.mark.parametrize("held", ["bucket"], indirect=True)
def test_what_a_bucket_s_policy_said_still_stands_beside_our_denial(held: Held) -> None:
    theirs = held.look()["policy"]["Statement"]
    held.contain()
    statements = held.look()["policy"]["Statement"]
    assert statements[:-1] == [theirs]
    assert statements[-1]["Effect"] == "Deny"


@pytest.mark.parametrize("held", ["bucket", "bare-bucket"], indirect=True)
def test_only_firebreak_s_own_role_may_still_reach_a_bucket(held: Held) -> None:
    held.contain()
    policy, own = held.look()["policy"], OURS.format(held.accounts.account)
    everything = {"Statement": {"Effect": "Allow", "Action": "*"}}

    def reaches(arn: str | None) -> bool:
        return judge.allowed([policy, everything], "s3:PutBucketPolicy", judge.principal(arn))

    assert reaches(own)
    assert reaches(own.replace("role/", "role/security/"))
    assert not reaches(own + "-2")
    assert not reaches(own.replace("role/", "role/not-"))
    assert not reaches(own.replace(held.accounts.account, "999999999999"))
    assert not reaches(f"arn:aws:iam::{held.accounts.account}:root")
    assert not reaches(None)


@pytest.mark.parametrize("held", ["bucket"], indirect=True)
def test_a_statement_that_somebody_added_is_drift_and_is_not_lost_unasked(held: Held) -> None:
    change = held.contain()
    held.case.by_hand(held.accounts, held.name)
    meddled = held.look()
    assert len(engine.renew(held.open(), change, moment()).drift) == 1
    let_go = engine.release(held.open(), change, moment(), overwrite=False)
    assert not let_go.restored
    assert held.look()["policy"] == meddled["policy"]


@pytest.mark.parametrize("held", ["bucket"], indirect=True)
def test_a_bucket_whose_policy_has_no_room_is_refused_before_anything_changes(held: Held, wire: Wire) -> None:
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{held.name}/*"}
    count = 20_000 // len(json.dumps(allow))
    full = json.dumps({"Version": "2012-10-17", "Statement": [allow] * count}, separators=(",", ":"))
    assert 18_000 < len(full) < 20_400
    full = full.replace('"Version"', f'"Id":"{"x" * (20_400 - len(full))}","Version"', 1)
    held.accounts.client("s3").put_bucket_policy(Bucket=held.name, Policy=full)
    with pytest.raises(PolicyTooLong, match="20480"):
        held.plan()


@pytest.mark.parametrize("held", ["bucket"], indirect=True)
def test_the_public_is_blocked_without_barring_our_own_way_back(held: Held) -> None:
    held.contain()
    block = held.look()["block"]
    assert (block["RestrictPublicBuckets"], block["BlockPublicPolicy"]) == (True, False)


def test_every_request_about_a_bucket_says_whose_it_has_to_be(
    wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    held = Held(BUCKET, accounts, sessions)
    BUCKET.prepare(accounts, held.name)
    change = held.contain()
    engine.release(held.open(), change, moment(), overwrite=False)
    asked = zip(wire.actions, wire.requests, strict=True)
    # AWS refuses a request about somebody else's bucket by this header; the server here does not look at it.
    owners = [request["headers"].get("x-amz-expected-bucket-owner") for action, request in asked if "s3:" in action]
    assert len(owners) > 8
    assert set(owners) == {accounts.account}


@pytest.mark.parametrize("held", ["function", "limited-function"], indirect=True)
def test_a_function_may_run_zero_times_and_gets_its_own_limit_or_none_back(held: Held) -> None:
    before = held.look()["concurrency"]
    change = held.contain()
    assert held.look()["concurrency"] == 0
    engine.release(held.open(), change, moment(), overwrite=False)
    assert held.look()["concurrency"] == before


@pytest.mark.parametrize("held", ["function"], indirect=True)
def test_a_function_s_events_wait_in_their_queue(held: Held) -> None:
    change = held.contain()
    assert set(held.look()["mappings"].values()) == {"Disabled"}
    assert any("wait there" in words for words in change.stays)


@pytest.mark.parametrize("held", ["function"], indirect=True)
def test_a_mapping_that_is_gone_does_not_hold_up_the_cut(held: Held) -> None:
    change = held.plan()
    held.accounts.client("lambda").delete_event_source_mapping(UUID=next(iter(held.look()["mappings"])))
    applied = engine.apply(held.open(), change, moment())
    assert len(applied.problems) == 1
    assert "mapping" in applied.problems[0]
    assert held.look()["concurrency"] == 0


@pytest.mark.parametrize("case", [BUCKET, FUNCTION])
def test_a_resource_that_is_not_there_is_unknown(case: Case, accounts: Accounts, sessions: AwsSessions) -> None:
    with pytest.raises(TargetUnknown, match=case.kind):
        Held(case, accounts, sessions).plan()
