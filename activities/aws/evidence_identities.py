"""Who the target acts as, what that identity may, and when it was used last.

Owns the collector `identities`: of an instance or function its role, of a role or user itself.
"""

from collections.abc import Iterator
from typing import Any

from activities.aws.evidence_scene import Answer, Scene, instance_of, not_of
from activities.evidence.platforms.collecting import Draft, Found, Task

_MOST = 100
_HOLDERS = ("ec2-instance", "iam-role", "iam-user", "lambda-function")
PERMISSIONS = (
    "ec2:DescribeInstances",
    "iam:GetAccessKeyLastUsed",
    "iam:GetGroupPolicy",
    "iam:GetInstanceProfile",
    "iam:GetLoginProfile",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:GetUser",
    "iam:GetUserPolicy",
    "iam:ListAccessKeys",
    "iam:ListAttachedGroupPolicies",
    "iam:ListAttachedRolePolicies",
    "iam:ListAttachedUserPolicies",
    "iam:ListGroupPolicies",
    "iam:ListGroupsForUser",
    "iam:ListMFADevices",
    "iam:ListRolePolicies",
    "iam:ListUserPolicies",
    "lambda:GetFunctionConfiguration",
)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    if scene.kind not in _HOLDERS:
        yield not_of("identities", scene)
        return
    draft = Draft(bounds=f"at most {_MOST} policies of a kind")
    if scene.kind == "iam-user":
        _user(scene, draft, scene.place.name)
    else:
        for role in draft.part("roles_of_target", lambda: _roles(scene)) or ():
            task.tell(role)
            _role(scene, draft, role)
    draft.events = len(draft.parts)
    yield draft.found("identities", scene.asked)


def _roles(scene: Scene) -> list[str]:
    name = scene.place.name
    if scene.kind == "iam-role":
        return [name]
    if scene.kind == "lambda-function":
        arn = scene.ask("lambda", "get_function_configuration", FunctionName=name)["Role"]
        return [str(arn).rpartition("/")[2]]
    profile = instance_of(scene).get("IamInstanceProfile")
    if not profile:
        return []
    answer = scene.ask("iam", "get_instance_profile", InstanceProfileName=profile["Arn"].rpartition("/")[2])
    return [str(role["RoleName"]) for role in answer["InstanceProfile"]["Roles"]]


def _role(scene: Scene, draft: Draft, name: str) -> None:
    # It says when the role was used last, and in which region.
    draft.part(f"role {name}", lambda: scene.ask("iam", "get_role", RoleName=name)["Role"])
    _policies(scene, draft, "role", name)


def _user(scene: Scene, draft: Draft, name: str) -> None:
    draft.part("user", lambda: scene.ask("iam", "get_user", UserName=name)["User"])
    draft.part("password", lambda: scene.ask_if_there("iam", "get_login_profile", UserName=name))
    draft.part("access_keys", lambda: _keys(scene, name))
    draft.part("mfa_devices", lambda: scene.ask("iam", "list_mfa_devices", UserName=name)["MFADevices"])
    _policies(scene, draft, "user", name)
    call = ("iam", "list_groups_for_user", "Groups")
    for group in draft.part("groups", lambda: scene.pages(draft, call, _MOST, UserName=name)) or ():
        _policies(scene, draft, "group", group["GroupName"])


def _keys(scene: Scene, name: str) -> list[Answer]:
    keys = scene.ask("iam", "list_access_keys", UserName=name)["AccessKeyMetadata"]
    return [
        key | scene.ask("iam", "get_access_key_last_used", AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
        for key in keys
    ]


def _policies(scene: Scene, draft: Draft, holder: str, name: str) -> None:
    whose: dict[str, Any] = {f"{holder.capitalize()}Name": name}
    call = ("iam", f"list_attached_{holder}_policies", "AttachedPolicies")
    attached = draft.part(f"attached to {holder} {name}", lambda: scene.pages(draft, call, _MOST, **whose)) or []
    for one in attached:
        arn = one["PolicyArn"]
        if f"policy {arn}" not in draft.parts:
            draft.part(f"policy {arn}", lambda arn=arn: _document(scene, arn))  # type: ignore[misc]
    draft.part(f"inline of {holder} {name}", lambda: _inline(scene, draft, holder, whose))


def _document(scene: Scene, arn: str) -> Answer:
    policy = scene.ask("iam", "get_policy", PolicyArn=arn)["Policy"]
    answer = scene.ask("iam", "get_policy_version", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return {"policy": policy, "version": answer["PolicyVersion"]}


def _inline(scene: Scene, draft: Draft, holder: str, whose: dict[str, Any]) -> dict[str, Answer]:
    names = scene.pages(draft, ("iam", f"list_{holder}_policies", "PolicyNames"), _MOST, **whose)
    return {name: scene.ask("iam", f"get_{holder}_policy", PolicyName=name, **whose) for name in names}
