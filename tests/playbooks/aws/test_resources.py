"""Plans for buckets and functions: what is set, who may still get through, and what is said."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from pydantic import JsonValue

from playbooks.aws.denials import WouldLockOut, denial, length
from playbooks.aws.observation import AwsObservation
from playbooks.aws.resources import LONGEST_BUCKET_POLICY, PolicyTooLong, plan_bucket, plan_function
from playbooks.change import LEASE_UNTIL, PlatformChange
from playbooks.platform_intent import PlatformIntent, TargetHeld
from tests.playbooks.aws.seeing import ACCOUNT, CALLER, seen

POLICY: dict[str, Any] = {
    "Version": "2008-10-17",
    "Id": "theirs",
    "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"},
}


def intent(ends: Literal["open", "closed"] = "open", incident: str = "inc-1") -> PlatformIntent:
    return PlatformIntent(
        incident_id=incident, target_id="t-1", at=datetime(2026, 3, 1, tzinfo=UTC), lease_seconds=600, ends=ends
    )


def bucket(policy: JsonValue = None, block: JsonValue = None, caller: str = CALLER) -> AwsObservation:
    return seen("s3-bucket/data", {"policy": policy, "public-access-block": block}, caller)


def function(**facts: JsonValue) -> AwsObservation:
    return seen("lambda-function/resize", {name.replace("_", "-"): value for name, value in facts.items()})


def denied(change: PlatformChange) -> dict[str, Any]:
    after: Any = change.settings[0].after
    statement: dict[str, Any] = after["Statement"][-1]
    return statement


def test_a_bucket_is_denied_beside_what_its_policy_says() -> None:
    change = plan_bucket(bucket(POLICY), intent())
    policy: Any = change.settings[0].after
    assert {key: policy[key] for key in ("Version", "Id")} == {"Version": "2008-10-17", "Id": "theirs"}
    assert policy["Statement"][0] == POLICY["Statement"]
    assert denied(change)["Resource"] == ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]
    assert change.settings[0].before == POLICY


def test_our_own_role_is_exempt_whatever_its_path_and_the_plan_says_so() -> None:
    change = plan_bucket(bucket(), intent())
    iam = f"arn:aws:iam::{ACCOUNT}:role"
    assert denied(change)["Condition"]["ArnNotLike"] == {
        "aws:PrincipalArn": [f"{iam}/*/firebreak-containment", f"{iam}/firebreak-containment"]
    }
    assert any("Firebreak's own role" in words for words in change.stays)
    assert any("root user" in words for words in change.stays)


def test_a_user_that_we_act_as_and_another_partition_are_exempt_by_their_own_arn() -> None:
    caller = f"arn:aws-us-gov:iam::{ACCOUNT}:user/ops/firebreak"
    change = plan_bucket(bucket(caller=caller), intent())
    assert denied(change)["Condition"]["ArnNotLike"] == {"aws:PrincipalArn": caller}
    assert denied(change)["Resource"][0] == "arn:aws-us-gov:s3:::data"


@pytest.mark.parametrize("caller", ["", "nobody", f"arn:aws:sts::{ACCOUNT}:federated-user/x"])
def test_a_bucket_is_not_closed_by_somebody_who_could_not_open_it_again(caller: str) -> None:
    with pytest.raises(WouldLockOut, match="nobody can be let in again"):
        plan_bucket(bucket(caller=caller), intent())


@pytest.mark.parametrize(("ends", "dated"), [("open", True), ("closed", False)])
def test_the_denial_ends_with_an_open_lease_and_not_with_a_closed_one(
    ends: Literal["open", "closed"], dated: bool
) -> None:
    change = plan_bucket(bucket(), intent(ends))
    assert (LEASE_UNTIL in str(denied(change))) is dated
    assert change.settings[0].dated is dated


def test_a_policy_that_would_be_too_long_says_by_how_much() -> None:
    room = LONGEST_BUCKET_POLICY - length(plan_bucket(bucket(POLICY), intent()).settings[0].after)
    fits = POLICY | {"Id": "theirs" + "x" * room}
    assert plan_bucket(bucket(fits), intent()).settings
    with pytest.raises(PolicyTooLong, match=f"{LONGEST_BUCKET_POLICY + 1}; S3 takes {LONGEST_BUCKET_POLICY}"):
        plan_bucket(bucket(fits | {"Id": fits["Id"] + "x"}), intent())


@pytest.mark.parametrize("before", [None, {"BlockPublicPolicy": False}, {"BlockPublicPolicy": True}])
def test_the_public_is_blocked_and_what_would_bar_our_way_back_is_left_alone(
    before: dict[str, JsonValue] | None,
) -> None:
    block = plan_bucket(bucket(block=before), intent()).settings[1]
    assert block.before == before
    assert block.after == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": bool((before or {}).get("BlockPublicPolicy")),
        "RestrictPublicBuckets": True,
    }


def test_a_policy_that_names_somebody_deleted_is_said_to_be_hard_to_write() -> None:
    gone: Any = {"Statement": POLICY["Statement"] | {"Principal": {"AWS": "AROACKCEVSQ6C2EXAMPLE"}}}
    assert "AROACKCEVSQ6C2EXAMPLE, deleted" in plan_bucket(bucket(gone), intent()).settings[0].words


def test_a_statement_of_another_incident_holds_a_bucket() -> None:
    other: Any = {"Statement": [denial(intent(incident="inc-2"), Principal="*")]}
    with pytest.raises(TargetHeld, match="Firebreakinc2"):
        plan_bucket(bucket(other), intent())


@pytest.mark.parametrize("limit", [None, 5])
def test_a_function_is_tagged_then_limited_to_zero(limit: int | None) -> None:
    change = plan_function(function(concurrency=limit), intent())
    assert [(s.attribute, s.before, s.after) for s in change.settings] == [
        ("incident-tag", None, "inc-1"),
        ("concurrency", limit, 0),
    ]


def test_a_function_that_its_owner_has_at_zero_is_held_by_its_tag_alone() -> None:
    change = plan_function(function(concurrency=0), intent())
    assert [setting.attribute for setting in change.settings] == ["incident-tag"]


def test_a_function_of_another_incident_is_held() -> None:
    with pytest.raises(TargetHeld, match="inc-2"):
        plan_function(function(incident_tag="inc-2", concurrency=0), intent())


def test_the_events_of_a_function_are_kept_and_that_is_a_precaution() -> None:
    facts: dict[str, JsonValue] = {"mapping.a": True, "source.a": "queue", "mapping.b": False, "concurrency": None}
    change = plan_function(seen("lambda-function/resize", facts), intent())
    (mapping,) = [setting for setting in change.settings if setting.attribute.startswith("mapping.")]
    assert (mapping.attribute, mapping.after, mapping.essential) == ("mapping.a", False, False)
    assert "queue" in mapping.words


def test_a_plan_for_a_function_says_that_nothing_ends_it_by_itself() -> None:
    change = plan_function(function(concurrency=None, role="arn:aws:iam::1:role/resize"), intent())
    assert "this lease ends closed" in change.dead_man
    assert not any(setting.dated for setting in change.settings)
    assert any("role/resize" in words for words in change.cannot)
