"""The deployed role against an AWS that evaluates policies: enough for everything, and what is missing is named.

The server's IAM knows actions, not resources and conditions: the policy is used with those left out.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.aws.sessions import AwsSessions
from activities.killswitch import engine
from activities.killswitch.platform import PermissionMissing
from lab.aws_server import AwsServer
from playbooks.platform_intent import AwsSpec
from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import Estate, build, moment
from tests.activities.aws.planning import plan
from tests.activities.aws.service import TRUST

POLICY = Path(__file__).parents[3] / "deploy" / "aws" / "responder-policy.json"
SPEC = AwsSpec(two_step=True, snapshot=True, profile="keep")


@contextmanager
def evaluated(aws: AwsServer) -> Iterator[None]:
    """Have the server ask policies, for as long as this lasts."""
    httpx.post(f"{aws.url}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        yield
    finally:
        httpx.post(f"{aws.url}/moto-api/reset-auth", content=b"inf").raise_for_status()


def deploy(accounts: Accounts, *, without: str = "") -> None:
    """The role that the worker assumes, with the deployed policy less one action."""
    statements: list[dict[str, Any]] = json.loads(POLICY.read_text())["Statement"]
    listed = [
        s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements if s["Effect"] == "Allow"
    ]
    actions = sorted({action for each in listed for action in each} - {without})
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam = accounts.client("iam")
    iam.create_role(RoleName="firebreak-containment", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName="firebreak-containment", PolicyName="all", PolicyDocument=json.dumps(policy))


def opened(sessions: AwsSessions, estate: Estate) -> Any:
    """The platform, its role assumed while that is not evaluated: nobody gave the worker of these tests a user."""
    platform = sessions.open(estate.target, "inc-1")
    platform.account.client("ec2")
    return platform


def test_the_deployed_role_can_contain_and_release_an_instance(
    aws: AwsServer, accounts: Accounts, sessions: AwsSessions
) -> None:
    estate = build(accounts)
    before = estate.groups_of()
    deploy(accounts)
    platform = opened(sessions, estate)
    with evaluated(aws):
        change = plan(platform, estate.target, SPEC)
        assert engine.dry_run(platform, change).differing == ()
        assert engine.apply(platform, change, moment()).problems == ()
        assert engine.verify(platform, change).differing == ()
        assert engine.release(platform, change, moment(), overwrite=False).restored
    assert estate.groups_of() == before


@pytest.mark.parametrize(
    "action",
    ["ec2:CreateSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:ModifyNetworkInterfaceAttribute"],
)
def test_what_the_role_may_not_do_is_named_and_nothing_is_left_more_open(
    aws: AwsServer, accounts: Accounts, sessions: AwsSessions, action: str
) -> None:
    estate = build(accounts)
    before = estate.groups_of()
    deploy(accounts, without=action)
    platform = opened(sessions, estate)
    with evaluated(aws):
        change = plan(platform, estate.target)
        with pytest.raises(PermissionMissing, match=f"{action} is not allowed"):
            engine.apply(platform, change, moment())
    assert estate.groups_of() == before


def test_a_dry_run_names_what_the_role_may_not_do(aws: AwsServer, accounts: Accounts, sessions: AwsSessions) -> None:
    estate = build(accounts, interfaces=1)
    deploy(accounts, without="ec2:ModifyNetworkInterfaceAttribute")
    platform = opened(sessions, estate)
    with evaluated(aws):
        (refusal,) = engine.dry_run(platform, plan(platform, estate.target)).differing
    assert "ec2:ModifyNetworkInterfaceAttribute is not allowed" in refusal
