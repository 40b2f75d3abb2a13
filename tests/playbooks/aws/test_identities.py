"""Plans for roles and users: what is denied, what is said, and what is not done."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from pydantic import JsonValue

from playbooks.aws.denials import WouldLockOut, denial, sid, with_statement, without_statement
from playbooks.aws.identities import LONGEST_TRUST, ServiceLinkedRole, plan_role, plan_user
from playbooks.aws.observation import AwsObservation
from playbooks.change import APPLIED_AT, LEASE_LAPSED, LEASE_UNTIL, PlatformChange, standing
from playbooks.platform_intent import AwsSpec, PlatformIntent, TargetHeld
from tests.playbooks.aws.seeing import ACCOUNT, seen

ROLE, USER = "iam-role/deployer", "iam-user/alice"
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
}


def intent(spec: AwsSpec | None = None, ends: Literal["open", "closed"] = "open") -> PlatformIntent:
    return PlatformIntent(
        incident_id="inc-1",
        target_id="t-1",
        at=datetime(2026, 3, 1, tzinfo=UTC),
        lease_seconds=600,
        ends=ends,
        aws=spec or AwsSpec(),
    )


def role(**facts: JsonValue) -> AwsObservation:
    known: dict[str, JsonValue] = {"path": "/", "trust": TRUST, "policies": []}
    return seen(ROLE, known | {name.replace("__", ".").replace("_", "-"): value for name, value in facts.items()})


def user(facts: dict[str, JsonValue]) -> AwsObservation:
    return seen(USER, {"policies": [], "login-profile": True, **facts})


def after(change: PlatformChange, attribute: str) -> Any:
    return next(setting.after for setting in change.settings if setting.attribute == attribute)


QUARANTINE = AwsSpec(role="quarantine")
POLICY = "policy.firebreak-inc-1"


def test_a_revocation_denies_what_was_issued_before_it_until_the_lease_ends() -> None:
    (statement,) = after(plan_role(role(), intent()), POLICY)["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "*", "*")
    assert statement["Condition"] == {
        "DateLessThan": {"aws:TokenIssueTime": APPLIED_AT, "aws:CurrentTime": LEASE_UNTIL}
    }


def test_a_lease_that_ends_closed_has_no_end_in_its_policies() -> None:
    revoked = plan_role(role(), intent(ends="closed"))
    quarantined = plan_role(role(), intent(QUARANTINE, "closed"))
    assert LEASE_UNTIL not in f"{revoked.settings} {quarantined.settings}"
    assert after(revoked, POLICY)["Statement"][0]["Condition"] == {"DateLessThan": {"aws:TokenIssueTime": APPLIED_AT}}
    assert "nothing ends it" in revoked.dead_man


def test_a_quarantine_denies_first_and_then_closes_the_trust() -> None:
    change = plan_role(role(), intent(QUARANTINE))
    assert [setting.attribute for setting in change.settings] == [f"{POLICY}-quarantine", "trust"]
    assert [setting.attribute for setting in change.inverse().settings] == ["trust", f"{POLICY}-quarantine"]
    assert change.settings[1].before == TRUST


def test_a_closed_trust_has_a_statement_and_allows_nobody() -> None:
    (statement,) = after(plan_role(role(), intent(QUARANTINE, "closed")), "trust")["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", {"AWS": "*"})
    assert "sts:AssumeRole" in statement["Action"]
    assert "Resource" not in statement


def test_a_trust_that_opens_again_by_itself_denies_everybody_whom_it_allows() -> None:
    named = {"Federated": ["idp-b", "idp-a"], "Service": "lambda.amazonaws.com", "AWS": "111122223333"}
    trust = TRUST | {"Statement": [TRUST["Statement"], {"Effect": "Allow", "Principal": named, "Action": "sts:*"}]}
    *theirs, ours = after(plan_role(role(trust=trust), intent(QUARANTINE)), "trust")["Statement"]
    assert theirs == trust["Statement"]
    assert ours["Principal"] == {
        "AWS": "*",
        "Federated": ["idp-a", "idp-b"],
        "Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"],
    }


def test_a_trust_without_room_for_a_lease_is_closed_and_the_plan_says_that_it_stays_so() -> None:
    long = TRUST | {"Id": "x" * (LONGEST_TRUST - 200)}
    change = plan_role(role(trust=long), intent(QUARANTINE))
    assert {each["Effect"] for each in after(change, "trust")["Statement"]} == {"Deny"}
    assert "its trust stays closed" in change.dead_man


def test_a_trust_that_names_somebody_deleted_is_said_to_be_hard_to_restore() -> None:
    gone: Any = {
        "Statement": {"Effect": "Allow", "Principal": {"AWS": "AIDACKCEVSQ6C2EXAMPLE"}, "Action": "sts:AssumeRole"}
    }
    change = plan_role(role(trust=gone), intent(QUARANTINE))
    assert "AIDACKCEVSQ6C2EXAMPLE" in change.settings[1].words


def test_a_plan_says_that_every_session_is_hit_and_by_whom_the_role_is_used() -> None:
    users: list[JsonValue] = [f"i-{number}" for number in range(12)]
    (setting,) = plan_role(role(used_by=users), intent()).settings
    assert "not the intruder's alone" in setting.words
    assert "i-7 and 4 more" in setting.words


def test_a_service_linked_role_is_refused_with_the_service_it_belongs_to() -> None:
    with pytest.raises(ServiceLinkedRole, match=r"autoscaling\.amazonaws\.com"):
        plan_role(role(path="/aws-service-role/autoscaling.amazonaws.com/"), intent())


@pytest.mark.parametrize(
    ("resource", "caller"),
    [
        (ROLE, f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/firebreak-inc-1"),
        (USER, f"arn:aws:iam::{ACCOUNT}:user/security/alice"),
    ],
)
def test_who_we_act_as_is_not_contained(resource: str, caller: str) -> None:
    plan = plan_role if resource == ROLE else plan_user
    with pytest.raises(WouldLockOut, match="Firebreak acts as"):
        plan(seen(resource, {"policies": []}, caller), intent())


@pytest.mark.parametrize("name", ["firebreak-inc-2", "firebreak-inc-12", "firebreak-inc-2-quarantine"])
def test_a_policy_of_another_incident_holds_a_role(name: str) -> None:
    with pytest.raises(TargetHeld, match=name):
        plan_role(role(policies=["app", name]), intent())


@pytest.mark.parametrize("name", ["firebreak-inc-1", "firebreak-inc-1-quarantine", "firebreak-responder", "app"])
def test_other_policies_do_not(name: str) -> None:
    assert plan_role(role(policies=[name]), intent()).settings


def test_a_lapsed_denial_is_wound_up_again_and_never_restored() -> None:
    planned = plan_role(role(), intent()).settings[0]
    lapsed = denial(intent(), sessions_only=True)
    lapsed["Condition"]["DateLessThan"]["aws:CurrentTime"] = LEASE_LAPSED
    document: Any = {"Version": "2012-10-17", "Statement": [lapsed]}

    assert standing(planned, document) == "lapsed"
    assert plan_role(role(policy__firebreak_inc_1=document), intent()).settings == (planned,)


def test_a_user_is_denied_everything_then_its_active_keys_are_switched_off() -> None:
    change = plan_user(user({"key.AKIA1": "Active", "key.AKIA2": "Inactive"}), intent())
    assert [setting.attribute for setting in change.settings] == [POLICY, "key.AKIA1"]
    assert after(change, POLICY)["Statement"][0]["Condition"] == {"DateLessThan": {"aws:CurrentTime": LEASE_UNTIL}}
    assert "does not end the sessions" in change.why
    assert "its keys stay inactive" in change.dead_man


def test_a_password_is_deleted_only_by_the_playbook_s_word_and_is_not_taken_back() -> None:
    change = plan_user(user({}), intent(AwsSpec(login_profile="delete")))
    password = change.settings[-1]
    assert (password.attribute, password.before, password.after, password.reversible) == (
        "login-profile",
        True,
        None,
        False,
    )
    assert "(can't be taken back)" in " ".join(change.summary)
    assert "login-profile" not in {setting.attribute for setting in change.inverse().settings}
    assert len(plan_user(user({}), intent()).settings) == 1


def test_a_user_without_password_has_none_deleted() -> None:
    change = plan_user(user({"login-profile": None}), intent(AwsSpec(login_profile="delete")))
    assert [setting.attribute for setting in change.settings] == [POLICY]


def test_a_statement_of_ours_is_added_and_taken_out_without_touching_others() -> None:
    ours = denial(intent(), Principal="*")
    added = with_statement(TRUST, ours)
    assert added["Statement"] == [TRUST["Statement"], ours]
    assert with_statement(added, ours) == added
    assert without_statement(added, "inc-1") == TRUST | {"Statement": [TRUST["Statement"]]}
    assert without_statement(TRUST, "inc-1") is TRUST


def test_a_sid_has_nothing_but_letters_and_digits() -> None:
    assert sid("inc-4F0c1d2e3a4b") == "Firebreakinc4f0c1d2e3a4b"
