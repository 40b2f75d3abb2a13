"""Roles and users, contained and let go on the server."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from activities.aws.platform import AwsPlatform
from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PermissionMissing, PlanStale, PlatformRefused, TargetUnknown
from playbooks.aws.denials import WouldLockOut
from playbooks.aws.plan import plan_aws
from playbooks.change import PlatformChange
from playbooks.platform_intent import AwsSpec, TargetHeld
from tests.activities.aws import judge
from tests.activities.aws.accounts import Accounts, session_of
from tests.activities.aws.cases import (
    BY_HAND,
    CASES,
    QUARANTINE,
    READ,
    SESSIONS,
    TRUST,
    USER,
    Case,
)
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Wire

IDENTITIES = ["role-sessions", "role-quarantine", "role-quarantine-closed", "user"]


class Held:
    """One identity of an account, opened for incidents."""

    def __init__(self, case: Case, accounts: Accounts, sessions: AwsSessions, name: str = "held") -> None:
        self.case, self.accounts, self.sessions, self.name = case, accounts, sessions, name
        self.target = accounts.target(case.kind, name)

    def open(self, incident: str = "inc-1") -> AwsPlatform:
        return self.sessions.open(self.target, incident)

    def plan(self, incident: str = "inc-1", case: Case | None = None) -> PlatformChange:
        intent = (case or self.case).intent(self.target, incident)
        return plan_aws(self.open(incident).observe(self.target, intent), intent)

    def contain(self, incident: str = "inc-1", case: Case | None = None) -> PlatformChange:
        change = self.plan(incident, case)
        engine.apply(self.open(incident), change, moment())
        return change

    def release(self, change: PlatformChange) -> None:
        assert engine.release(self.open(change.incident_id), change, moment(), overwrite=False).restored

    def look(self) -> dict[str, Any]:
        return self.case.look(self.accounts, self.name)


@pytest.fixture
def role(accounts: Accounts, sessions: AwsSessions) -> Held:
    SESSIONS.prepare(accounts, "held")
    return Held(SESSIONS, accounts, sessions)


@pytest.fixture
def user(accounts: Accounts, sessions: AwsSessions) -> Held:
    USER.prepare(accounts, "held")
    return Held(USER, accounts, sessions)


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_is_contained_stands_is_planned_empty_and_is_restored(
    name: str, accounts: Accounts, sessions: AwsSessions
) -> None:
    CASES[name].prepare(accounts, "held")
    held = Held(CASES[name], accounts, sessions)
    before = held.look()
    change = held.contain()

    assert engine.verify(held.open(), change).differing == ()
    assert held.plan().empty
    held.release(change)
    assert held.look() == before


def test_a_revocation_denies_the_sessions_there_are_and_lets_new_ones_work(role: Held) -> None:
    role.contain()
    assert role.case.open_to(role.look()) == {"new", "assume"}


def test_a_quarantine_denies_every_session_and_nobody_can_assume_the_role(role: Held) -> None:
    role.contain(case=QUARANTINE)
    assert role.case.open_to(role.look()) == set()


def test_a_quarantine_beside_a_revocation_of_the_same_incident_is_let_go_without_it(role: Held) -> None:
    role.contain()
    role.release(role.contain(case=QUARANTINE))
    assert role.case.open_to(role.look()) == {"new", "assume"}


def test_a_quarantine_that_ends_open_is_lifted_by_aws_and_one_that_ends_closed_is_not(role: Held) -> None:
    later = {judge.NOW: datetime.now(UTC) + timedelta(days=1)}
    for ends, lifted in (("open", True), ("closed", False)):
        change = role.contain(case=replace(QUARANTINE, ends=ends))  # type: ignore[arg-type]
        state = role.look()
        trust = state.pop("trust")
        assert judge.allowed(state.values(), READ, later) == judge.allowed([trust], "sts:AssumeRole", later) == lifted
        role.release(change)


def test_the_plan_names_who_else_uses_the_role(role: Held, accounts: Accounts) -> None:
    ec2 = accounts.client("ec2")
    started = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": "held"})
    (setting,) = role.plan().settings
    assert "every session of the role" in setting.words
    assert "instance profile held" in setting.words
    assert started["Instances"][0]["InstanceId"] in setting.words


def test_what_somebody_wrote_over_our_policy_is_drift_and_stays_until_people_say_so(role: Held) -> None:
    before, change = role.look(), role.contain()
    role.case.by_hand(role.accounts, role.name)
    assert len(engine.renew(role.open(), change, moment()).drift) == 1
    let_go = engine.release(role.open(), change, moment(), overwrite=False)
    assert (let_go.restored, len(let_go.drift)) == (False, 1)
    assert role.look()["firebreak-inc-1"] == BY_HAND

    assert engine.release(role.open(), change, moment(), overwrite=True).restored
    assert role.look() == before


def test_our_own_statement_edited_by_hand_is_never_taken_for_what_was_there_before(role: Held) -> None:
    role.contain()
    policy = role.look()["firebreak-inc-1"]
    policy["Statement"][0]["Action"] = "s3:*"
    iam = role.accounts.client("iam")
    iam.put_role_policy(RoleName="held", PolicyName="firebreak-inc-1", PolicyDocument=json.dumps(policy))
    with pytest.raises(PlanStale, match="firebreak-inc-1"):
        role.contain()


def test_a_policy_with_a_time_that_is_none_is_drift(role: Held) -> None:
    change = role.contain()
    policy = role.look()["firebreak-inc-1"]
    policy["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"] = "2026-03-01T12:00:00"
    iam = role.accounts.client("iam")
    iam.put_role_policy(RoleName="held", PolicyName="firebreak-inc-1", PolicyDocument=json.dumps(policy))
    assert len(engine.verify(role.open(), change).differing) == 1


@pytest.mark.parametrize("name", ["role-sessions", "role-quarantine", "user"])
def test_a_target_of_another_incident_is_held(name: str, accounts: Accounts, sessions: AwsSessions) -> None:
    CASES[name].prepare(accounts, "held")
    held = Held(CASES[name], accounts, sessions)
    change = held.contain("inc-1")
    with pytest.raises(TargetHeld, match="firebreak-inc-1"):
        held.plan("inc-2")
    held.release(change)
    assert not held.plan("inc-2").empty


def test_a_user_is_denied_before_its_keys_are_made_inactive(user: Held, wire: Wire) -> None:
    user.contain()
    assert wire.actions.index("iam:PutUserPolicy") < wire.actions.index("iam:UpdateAccessKey")
    assert set(user.look()["keys"].values()) == {"Inactive"}
    assert user.case.open_to(user.look()) == set()


def test_an_inactive_key_of_a_user_is_refused_and_works_again_after_release(user: Held) -> None:
    iam = user.accounts.client("iam")
    made = iam.list_access_keys(UserName="held")["AccessKeyMetadata"]
    inactive = next(key["AccessKeyId"] for key in made if key["Status"] == "Inactive")
    iam.delete_access_key(UserName="held", AccessKeyId=inactive)
    key = iam.create_access_key(UserName="held")["AccessKey"]["AccessKeyId"]
    intruder = session_of(key).client("sts", endpoint_url=user.accounts.url)

    assert intruder.get_caller_identity()["Arn"]
    change = user.contain()
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        intruder.get_caller_identity()
    user.release(change)
    assert intruder.get_caller_identity()["Arn"]


def test_a_password_is_only_deleted_if_the_playbook_says_so_and_is_not_restored(user: Held) -> None:
    assert "login-profile" not in {setting.attribute for setting in user.plan().settings}
    before = user.look()
    change = user.contain(case=replace(USER, spec=AwsSpec(login_profile="delete")))
    (password,) = [setting for setting in change.settings if not setting.reversible]

    assert user.look()["password"] is False
    user.release(change)
    assert user.look() == before | {"password": False}
    with pytest.raises(PlatformRefused, match="can't be restored"):
        user.open().write(password, value=True, moment=moment())


def test_the_role_we_act_with_is_not_contained(accounts: Accounts, sessions: AwsSessions) -> None:
    SESSIONS.prepare(accounts, "firebreak-containment")
    with pytest.raises(WouldLockOut, match="acts as"):
        Held(SESSIONS, accounts, sessions, "firebreak-containment").plan()


@pytest.mark.parametrize("case", [SESSIONS, USER])
def test_an_identity_that_is_not_there_is_unknown(case: Case, accounts: Accounts, sessions: AwsSessions) -> None:
    with pytest.raises(TargetUnknown, match=f"{case.kind}/nobody"):
        Held(case, accounts, sessions, "nobody").plan()


def test_a_trust_that_somebody_changed_meanwhile_is_not_overwritten(role: Held) -> None:
    change = role.plan(case=QUARANTINE)
    document = json.dumps(TRUST | {"Id": "meanwhile"})
    role.accounts.client("iam").update_assume_role_policy(RoleName="held", PolicyDocument=document)
    with pytest.raises(PlanStale, match="trust"):
        engine.apply(role.open(), change, moment())


def test_a_missing_permission_is_named(role: Held, wire: Wire) -> None:
    change = role.plan()
    # No server here can refuse for want of a permission: what AWS answers stands for it.
    denied = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"FirebreakAction": "iam:PutRolePolicy"}},
        "PutRolePolicy",
    )
    with wire.failing(denied, "before", "iam:PutRolePolicy".__eq__, 0), pytest.raises(PermissionMissing) as missing:
        engine.apply(role.open(), change, moment())
    assert "iam:PutRolePolicy" in missing.value.summary
