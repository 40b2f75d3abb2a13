"""Roles and users as they are: read-only.

Owns which facts a plan of an identity needs, each in the form in which its attribute is read. Never changes anything.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from activities.aws import identity_documents as documents
from activities.aws.attributes import Account
from activities.aws.identity_policies import ROLE, USER, unless_absent
from activities.aws.observing import place_of
from playbooks.aws.denials import quarantine_name, sid
from playbooks.aws.observation import AwsObservation, Fact
from playbooks.platform_intent import PlatformIntent, mark
from segmentation.workloads import Workload

# Who we are (sts:GetCallerIdentity) is told to everybody: it needs no permission.
ROLE_OBSERVER = (
    "ec2:DescribeIamInstanceProfileAssociations",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
)
LARGEST_PAGE = 1000
USER_OBSERVER = (
    "iam:GetLoginProfile",
    "iam:GetUser",
    "iam:GetUserPolicy",
    "iam:ListAccessKeys",
    "iam:ListUserPolicies",
)


def observe_role(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:
    """A role: its trust, our policies on it, and who uses it as far as this region shows."""
    name, iam = place_of(target).name, account.client("iam")
    role, ours = f"iam-role/{name}", (mark(intent.incident_id), quarantine_name(intent.incident_id))
    found = iam.get_role(RoleName=name)["Role"]
    profiles = pages(iam, "list_instance_profiles_for_role", "InstanceProfiles", RoleName=name)
    facts = {
        (role, "path"): found["Path"],
        (role, "trust"): documents.read(found["AssumeRolePolicyDocument"], sid(account.incident_id)),
        (role, "policies"): list(pages(iam, "list_role_policies", "PolicyNames", RoleName=name)),
        **{(role, f"policy.{policy}"): ROLE.read(account, f"{name}/{policy}") for policy in ours},
        (role, "used-by"): _users(account, [profile["Arn"] for profile in profiles]),
        ("caller", "arn"): caller(account),
    }
    return observed(target, facts, found.get("Tags", ()))


def observe_user(account: Account, target: Workload, intent: PlatformIntent) -> AwsObservation:
    """A user: its keys, whether it has a console password, and our policy on it."""
    name, iam = place_of(target).name, account.client("iam")
    user, ours = f"iam-user/{name}", mark(intent.incident_id)
    found = iam.get_user(UserName=name)["User"]
    password = unless_absent(lambda: iam.get_login_profile(UserName=name))
    facts = {
        (user, "policies"): list(pages(iam, "list_user_policies", "PolicyNames", UserName=name)),
        (user, f"policy.{ours}"): USER.read(account, f"{name}/{ours}"),
        **{(user, f"key.{key}"): status for key, status in keys_of(account, name).items()},
        (user, "login-profile"): True if password else None,
        ("caller", "arn"): caller(account),
    }
    return observed(target, facts, found.get("Tags", ()))


def keys_of(account: Account, user: str) -> dict[str, str]:
    """Status by access key id."""
    keys = pages(account.client("iam"), "list_access_keys", "AccessKeyMetadata", UserName=user)
    return {key["AccessKeyId"]: key["Status"] for key in keys}


def caller(account: Account) -> str:
    """The ARN that AWS knows us by in this account."""
    return str(account.client("sts").get_caller_identity()["Arn"])


def pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterable[Any]:
    """Everything that a listing has, page by page."""
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, ())


def observed(
    target: Workload, facts: dict[tuple[str, str], JsonValue], tags: Iterable[dict[str, str]]
) -> AwsObservation:
    """The observation of a target from its facts and tags."""
    return AwsObservation(
        target_id=target.workload_id,
        reference=place_of(target),
        kind=target.kind,
        labels={tag["Key"]: tag["Value"] for tag in tags},
        facts=tuple(Fact(resource=r, attribute=a, value=value) for (r, a), value in facts.items()),
    )


def _users(account: Account, profiles: list[str]) -> list[JsonValue]:
    if not profiles:
        return []
    listing = ("describe_iam_instance_profile_associations", "IamInstanceProfileAssociations")
    used = pages(account.client("ec2"), *listing, PaginationConfig={"PageSize": LARGEST_PAGE})
    instances = [each["InstanceId"] for each in used if each["IamInstanceProfile"]["Arn"] in profiles]
    return [f"instance profile {arn.rpartition('/')[2]}" for arn in profiles] + sorted(instances)
