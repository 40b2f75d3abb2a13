"""How the target is set up: every document of AWS that says what it is and what it may talk to.

Owns the collector `configuration`. User data is kept as it is: attackers leave things in it, and so do owners, which is
why evidence has a marking.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from activities.aws.evidence_scene import Answer, Scene, instance_of, interfaces_of
from activities.evidence.platforms.collecting import Draft, Found, Task
from segmentation.workloads import WorkloadKind

_MOST = 500
NOT_SET = {"not_set": True}
PERMISSIONS = (
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "iam:GetRole",
    "iam:GetUser",
    "lambda:GetFunctionConfiguration",
    "lambda:GetPolicy",
    "lambda:ListEventSourceMappings",
    "s3:GetBucketLogging",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketTagging",
    "s3:GetBucketVersioning",
)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    draft = Draft(bounds=f"at most {_MOST} things of a kind")
    _KINDS[scene.kind](scene, draft)
    draft.events = len(draft.parts)
    task.tell(f"{len(draft.parts)} parts")
    yield draft.found("configuration", scene.asked)


def _instance(scene: Scene, draft: Draft) -> None:
    name = scene.place.name
    mine = [{"Name": "attachment.instance-id", "Values": [name]}]
    instance = draft.part("instance", lambda: instance_of(scene)) or {}
    interfaces = draft.part("interfaces", lambda: interfaces_of(scene, draft)) or []
    draft.part("volumes", lambda: scene.pages(draft, ("ec2", "describe_volumes", "Volumes"), _MOST, Filters=mine))
    draft.part("user_data", lambda: _user_data(scene))
    draft.part("profile", lambda: _profile(scene))
    groups = {group["GroupId"] for one in interfaces for group in one.get("Groups", [])}
    groups |= {group["GroupId"] for group in instance.get("SecurityGroups", [])}
    if groups:
        draft.part("security_groups", lambda: _groups(scene, draft, sorted(groups)))
    subnets = sorted({one["SubnetId"] for one in interfaces if one.get("SubnetId")})
    if subnets:
        _around(scene, draft, subnets)


def _user_data(scene: Scene) -> Answer:
    answer = scene.ask("ec2", "describe_instance_attribute", InstanceId=scene.place.name, Attribute="userData")
    raw = (answer.get("UserData") or {}).get("Value") or ""
    return {"base64": raw, "bytes": len(base64.b64decode(raw, validate=False))}


def _profile(scene: Scene) -> list[Answer]:
    wanted = [{"Name": "instance-id", "Values": [scene.place.name]}]
    answer = scene.ask("ec2", "describe_iam_instance_profile_associations", Filters=wanted)
    found: list[Answer] = answer["IamInstanceProfileAssociations"]
    return found


def _groups(scene: Scene, draft: Draft, ids: list[str]) -> list[Any]:
    return scene.pages(draft, ("ec2", "describe_security_groups", "SecurityGroups"), _MOST, GroupIds=ids)


def _around(scene: Scene, draft: Draft, subnets: list[str]) -> None:
    """What stands between the interfaces and everybody else."""
    inside = [{"Name": "association.subnet-id", "Values": subnets}]
    for part, call in {
        "network_acls": ("ec2", "describe_network_acls", "NetworkAcls"),
        "route_tables": ("ec2", "describe_route_tables", "RouteTables"),
    }.items():
        draft.part(part, lambda call=call: scene.pages(draft, call, _MOST, Filters=inside))  # type: ignore[misc]
    call = ("ec2", "describe_subnets", "Subnets")
    draft.part("subnets", lambda: scene.pages(draft, call, _MOST, SubnetIds=subnets))


def _subnet(scene: Scene, draft: Draft) -> None:
    _around(scene, draft, [scene.place.name])
    draft.part("interfaces", lambda: interfaces_of(scene, draft))


def _group(scene: Scene, draft: Draft) -> None:
    mine = [{"Name": "group-id", "Values": [scene.place.name]}]
    call = ("ec2", "describe_security_group_rules", "SecurityGroupRules")
    draft.part("security_groups", lambda: _groups(scene, draft, [scene.place.name]))
    draft.part("rules", lambda: scene.pages(draft, call, _MOST, Filters=mine))
    draft.part("interfaces", lambda: interfaces_of(scene, draft))


def _role(scene: Scene, draft: Draft) -> None:
    draft.part("role", lambda: scene.ask("iam", "get_role", RoleName=scene.place.name)["Role"])


def _user(scene: Scene, draft: Draft) -> None:
    draft.part("user", lambda: scene.ask("iam", "get_user", UserName=scene.place.name)["User"])


def _bucket(scene: Scene, draft: Draft) -> None:
    owner = {"Bucket": scene.place.name, "ExpectedBucketOwner": scene.place.account}
    for part, operation, missing in (
        ("policy", "get_bucket_policy", "NoSuchBucketPolicy"),
        ("public_access_block", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
        ("tags", "get_bucket_tagging", "NoSuchTagSet"),
        ("logging", "get_bucket_logging", ""),
        ("versioning", "get_bucket_versioning", ""),
    ):
        draft.part(part, lambda o=operation, m=missing: scene.ask_if_there("s3", o, m, **owner) or NOT_SET)  # type: ignore[misc]


def _function(scene: Scene, draft: Draft) -> None:
    name = scene.place.name
    call = ("lambda", "list_event_source_mappings", "EventSourceMappings")
    draft.part("function", lambda: scene.ask("lambda", "get_function_configuration", FunctionName=name))
    draft.part("policy", lambda: scene.ask_if_there("lambda", "get_policy", FunctionName=name))
    draft.part("sources", lambda: scene.pages(draft, call, _MOST, FunctionName=name))


_KINDS: Mapping[WorkloadKind, Callable[[Scene, Draft], None]] = {
    "ec2-instance": _instance,
    "subnet": _subnet,
    "security-group": _group,
    "iam-role": _role,
    "iam-user": _user,
    "s3-bucket": _bucket,
    "lambda-function": _function,
}
