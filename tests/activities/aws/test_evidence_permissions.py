"""What collectors declare is what `deploy/aws/evidence-policy.json` allows, and what they call is what they declare."""

import json
from pathlib import Path

import pytest

from activities.aws import evidence as aws_evidence
from activities.aws.attributes import INCIDENT_TAG
from activities.aws.evidence import COLLECTORS, PERMISSIONS, open_evidence
from activities.aws.evidence_scene import Forensics
from activities.aws.evidence_snapshots import KEY_PERMISSIONS
from activities.aws.sessions import AwsSessions
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import build
from tests.activities.aws.service import profile
from tests.activities.aws.test_permissions import DEPLOY, FREE, LONGEST_MANAGED_POLICY, actions_of, policy
from tests.activities.aws.wire import Wire, changes
from tests.activities.platform_evidence.keeping import Kept, evidence, order

POLICY = "evidence-policy.json"


def test_the_deployed_policy_allows_exactly_what_collectors_declare() -> None:
    deployed = [action for statement in policy(POLICY) for action in sorted(actions_of(statement))]

    assert sorted(deployed) == sorted(PERMISSIONS | set(KEY_PERMISSIONS))
    assert not any("*" in action for action in deployed)
    assert len(json.dumps(json.loads((DEPLOY / POLICY).read_text()), separators=(",", ":"))) <= LONGEST_MANAGED_POLICY


def test_whatever_makes_or_shares_something_needs_a_session_of_an_incident() -> None:
    tag = f"aws:PrincipalTag/{INCIDENT_TAG}"
    free = [one for one in policy(POLICY) if one.get("Condition", {}).get("StringLike", {}).get(tag) != "inc-*"]

    assert [one["Sid"] for one in free] == ["LookForEvidence"]
    writes = {action for action in actions_of(free[0]) if changes(action)}
    # Reads whose names don't begin as those of others do.
    assert writes == {"cloudtrail:LookupEvents", "logs:FilterLogEvents"}


def test_collecting_and_containing_are_two_policies() -> None:
    contain = {action for statement in policy("responder-policy.json") for action in actions_of(statement)}
    makes = {action for action in PERMISSIONS if changes(action)} - {"cloudtrail:LookupEvents", "logs:FilterLogEvents"}

    assert makes & contain <= {"ec2:CreateSnapshots", "ec2:CreateTags"}, "a snapshot is a precaution too"


@pytest.mark.parametrize("name", sorted(COLLECTORS))
def test_what_a_collector_calls_of_an_instance_is_what_it_declares(
    name: str, accounts: Accounts, wire: Wire, sessions: AwsSessions, tmp_path: Path
) -> None:
    estate = build(accounts, interfaces=1)
    profile(accounts, estate)
    key = accounts.client("kms").create_key()["KeyMetadata"]["Arn"]
    opening = open_evidence(sessions, Forensics(kms_key=key, account="200000000002"))
    evidence(opening, Kept(), tmp_path).collect_from_platform(order(estate.target, aws=(name,)))

    called = set(wire.actions) - FREE
    tags_on_creation = {"ec2:CreateTags"}
    assert called
    assert called <= set(aws_evidence.COLLECTORS[name].permissions)  # type: ignore[index]  # a name of the mapping
    if name in {"snapshots", "console"}:
        assert called | tags_on_creation >= set(aws_evidence.COLLECTORS[name].permissions)  # type: ignore[index]
