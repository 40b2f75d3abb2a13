"""What the code declares is what `deploy/aws` allows, neither more nor less, and what is called is what is declared."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from activities.aws import identities, instances, network, platform, resources
from activities.aws.attributes import INCIDENT_TAG
from activities.aws.holds import HELD_TAG
from activities.aws.platform import look_up
from activities.aws.sessions import AwsAccess, AwsSessions
from activities.killswitch import engine
from playbooks.aws.plan import plan_aws
from playbooks.platform_intent import AwsSpec
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.cases import CASES, USER
from tests.activities.aws.estate import moment
from tests.activities.aws.wire import Wire, changes

DEPLOY = Path(__file__).parents[3] / "deploy" / "aws"
OBSERVING: dict[str, tuple[str, ...]] = {
    kind: actions
    for module in (network, instances, identities, resources)
    for kind, actions in module.OBSERVER_PERMISSIONS.items()
}
# Who we are is told to everybody, and assuming the role is the worker's to be allowed.
FREE = {"sts:GetCallerIdentity", "sts:AssumeRole"}
LONGEST_MANAGED_POLICY = 6144


def policy(name: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = json.loads((DEPLOY / name).read_text())["Statement"]
    return statements


def actions_of(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


def allowed() -> list[dict[str, Any]]:
    return [statement for statement in policy("responder-policy.json") if statement["Effect"] == "Allow"]


def test_the_deployed_role_may_do_exactly_what_the_code_declares() -> None:
    declared = {action for attribute in platform.ATTRIBUTES.values() for action in attribute.permissions}
    declared |= {action for actions in OBSERVING.values() for action in actions}
    deployed = [action for statement in allowed() for action in sorted(actions_of(statement))]

    assert sorted(set(deployed)) == sorted(declared)
    twice = {action for action in deployed if deployed.count(action) > 1}
    assert twice == {"ec2:CreateTags"}, "an action that is allowed twice is limited by neither condition alone"


def test_tags_of_what_exists_are_limited_to_the_marks_of_who_holds_it() -> None:
    making, marking = [statement for statement in allowed() if "ec2:CreateTags" in actions_of(statement)]
    assert "ec2:CreateAction" in making["Condition"]["StringEquals"]
    assert marking["Condition"]["ForAllValues:StringLike"] == {"aws:TagKeys": [HELD_TAG, f"{HELD_TAG}:*"]}
    # Without any key all of them hold, and DeleteTags without one takes every tag away.
    assert marking["Condition"]["Null"] == {"aws:TagKeys": "false"}


def test_every_kind_of_target_declares_what_observing_it_needs() -> None:
    assert set(OBSERVING) == set(platform.OBSERVERS)
    assert all(OBSERVING.values())


def test_whatever_changes_something_needs_a_session_that_is_tagged_with_an_incident() -> None:
    tagged = {f"aws:PrincipalTag/{INCIDENT_TAG}": "inc-*"}
    free = [s["Sid"] for s in allowed() if s.get("Condition", {}).get("StringLike") != tagged]
    assert free == ["Look"]
    (look,) = [statement for statement in allowed() if statement["Sid"] == "Look"]
    assert not any(changes(action) for action in look["Action"])


def test_no_statement_allows_by_wildcard_and_the_policy_fits() -> None:
    assert not any("*" in action for statement in allowed() for action in actions_of(statement))
    text = json.dumps(json.loads((DEPLOY / "responder-policy.json").read_text()), separators=(",", ":"))
    assert len(text) <= LONGEST_MANAGED_POLICY


def test_the_role_may_not_change_the_roles_it_lives_by() -> None:
    (never,) = [statement for statement in policy("responder-policy.json") if statement["Effect"] == "Deny"]
    on_roles = {
        action for action in actions_of_all() if action.startswith("iam:") and "Role" in action and changes(action)
    }
    assert actions_of(never) == on_roles
    assert never["Resource"] == "arn:aws:iam::*:role/firebreak-*"
    assert AwsAccess(external_id="xx").role.rpartition("/")[2].startswith("firebreak-")


def actions_of_all() -> set[str]:
    return {action for statement in allowed() for action in actions_of(statement)}


def test_the_trust_asks_for_the_external_id_and_for_one_incident_as_tag() -> None:
    assume, tag = policy("responder-trust.json")
    (worker,) = policy("worker-policy.json")
    tagged = {f"aws:RequestTag/{INCIDENT_TAG}": "inc-*"}

    assert (actions_of(assume), actions_of(tag)) == ({"sts:AssumeRole"}, {"sts:TagSession"})
    assert set(assume["Condition"]["StringEquals"]) == {"sts:ExternalId"}
    assert assume["Condition"]["StringLike"] == tag["Condition"]["StringLike"] == tagged
    assert tag["Condition"]["ForAllValues:StringEquals"] == {
        "aws:TagKeys": [INCIDENT_TAG],
        "sts:TransitiveTagKeys": [INCIDENT_TAG],
    }
    assert actions_of(worker) == {"sts:AssumeRole", "sts:TagSession"}
    assert worker["Resource"] == AwsAccess(external_id="xx").role.format(account="*")


@pytest.mark.parametrize("name", ["role-sessions", "role-quarantine", "user", "bucket", "function"])
def test_what_is_called_is_what_is_declared(name: str, wire: Wire, accounts: Accounts, sessions: AwsSessions) -> None:
    case, resource = CASES[name], f"called-{name}"
    case.prepare(accounts, resource)
    target = accounts.target(case.kind, resource)
    platform_, intent = sessions.open(target, "inc-1"), case.intent(target)
    observation = platform_.observe(target, intent)
    assert set(wire.actions) - FREE == set(OBSERVING[case.kind])

    change = plan_aws(observation, intent)
    for setting in change.settings:
        wire.actions.clear()
        platform_.write(setting, setting.after, moment())
        assert platform_.read(setting) == setting.after
        platform_.write(setting, setting.before, moment())
        attribute, _ = look_up(setting)
        assert set(setting.permissions) == set(attribute.permissions)
        assert set(wire.actions) <= set(attribute.permissions)
    wire.actions.clear()
    engine.apply(platform_, change, moment())
    engine.release(platform_, change, moment(), overwrite=False)
    assert set(wire.actions) <= set(change.permissions)


def test_every_declared_permission_of_identities_and_resources_is_called_by_somebody(
    wire: Wire, accounts: Accounts, sessions: AwsSessions
) -> None:
    cases = {name: CASES[name] for name in ("role-quarantine", "bucket", "bare-bucket", "function")}
    cases["password"] = replace(USER, spec=AwsSpec(login_profile="delete"))
    for name, case in cases.items():
        case.prepare(accounts, f"used-{name}")
        target = accounts.target(case.kind, f"used-{name}")
        platform_, intent = sessions.open(target, "inc-1"), case.intent(target)
        change = plan_aws(platform_.observe(target, intent), intent)
        engine.apply(platform_, change, moment())
        engine.release(platform_, change, moment(), overwrite=True)
    ours = {**identities.ATTRIBUTES, **resources.ATTRIBUTES}.values()
    assert {action for attribute in ours for action in attribute.permissions} <= set(wire.actions)
