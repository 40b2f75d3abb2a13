"""Containing identities of AWS: roles and users. Pure.

Owns which policies, trust, keys and passwords are set for an identity, in which order, and what that does not cut.
Never calls AWS: `activities.aws.identities` reads and writes what is named here.

    plan_role(observation, intent)   # -> PlatformChange
"""

from typing import Any, ClassVar

from playbooks.aws.denials import (
    WouldLockOut,
    denial,
    denial_document,
    end_in_words,
    fragile,
    length,
    quarantine_name,
    refuse_held,
    statements_of,
    with_statement,
    without_statement,
)
from playbooks.aws.observation import AwsObservation
from playbooks.aws.settings import Values, incident, needed, setting
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent, mark
from segmentation.errors import FirebreakError

ROLE_POLICY = ("iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:PutRolePolicy")
ROLE_TRUST = ("iam:GetRole", "iam:UpdateAssumeRolePolicy")
USER_POLICY = ("iam:DeleteUserPolicy", "iam:GetUserPolicy", "iam:PutUserPolicy")
USER_KEY = ("iam:ListAccessKeys", "iam:UpdateAccessKey")
USER_PASSWORD = ("iam:DeleteLoginProfile", "iam:GetLoginProfile")
# Every way of assuming a role. A trust policy may name nothing but STS's own actions.
ASSUMING = ["sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"]
# AWS's default; a longer one needs a raised quota, which nobody but AWS knows of.
LONGEST_TRUST = 2048
# How many users of a role are named in the plan; the rest is counted.
NAMED = 8
SPREADING = "what is asked before IAM has spread the change everywhere: seconds as a rule, minutes at times"


class ServiceLinkedRole(FirebreakError):
    """A role that belongs to a service of AWS: nobody but that service may change it."""

    code: ClassVar[str] = "service-linked-role"


def plan_role(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Deny a role's sessions, or the whole role.

    Raises:
        ServiceLinkedRole: its path is `/aws-service-role/`.
        TargetHeld: another incident contains it.
        WouldLockOut: it is the role we act with.
    """
    role = f"iam-role/{observation.reference.name}"
    path = str(observation.value(role, "path") or "/")
    if path.startswith("/aws-service-role/"):
        raise ServiceLinkedRole(
            f"{role} is a service-linked role (path {path}): AWS lets nobody but {path.split('/')[2]} change it.",
            hint="Contain the resource that uses it, or delete it through its service.",
        )
    _refuse(observation, role, intent)
    if intent.aws.role == "quarantine":
        return _quarantine(observation, role, intent)
    return _revocation(observation, role, intent)


def _revocation(observation: AwsObservation, role: str, intent: PlatformIntent) -> PlatformChange:
    words = f"{role}: deny everything to the sessions it has now{_used_by(observation, role)}"
    denied = _denied(
        observation, (role, f"policy.{mark(intent.incident_id)}"), denial(intent, sessions_only=True), words
    )
    return PlatformChange(
        **incident(intent),
        mechanism="session-revocation",
        why="AWS can't end a session; a deny on sessions issued before now makes each of them worthless",
        settings=needed(denied),
        cuts=(f"every session of {role} that was issued before now, whoever holds it, and URLs signed with one",),
        stays=(f"sessions of {role} that are issued after it: what is allowed to assume it goes on after a new login",),
        cannot=(
            f"new sessions of {role}, by its trust or from an instance: contain that too, or use `role: quarantine`",
            f"sessions of other roles that were assumed with a session of {role}: revoke those roles too",
            SPREADING,
        ),
        dead_man=end_in_words(intent),
    )


def _quarantine(observation: AwsObservation, role: str, intent: PlatformIntent) -> PlatformChange:
    words = f"{role}: deny everything{_used_by(observation, role)}"
    denied = _denied(observation, (role, f"policy.{quarantine_name(intent.incident_id)}"), denial(intent), words)
    trust, stays = _trust(observation, role, intent)
    return PlatformChange(
        **incident(intent),
        mechanism="role-quarantine",
        why="an explicit deny outweighs every allow, and a closed trust gives out no further session",
        settings=needed(denied, trust),
        cuts=(f"every session of {role}, old and new, and URLs signed with one", f"assuming {role}"),
        cannot=(
            f"sessions of other roles that were assumed with a session of {role}: revoke those roles too",
            SPREADING,
        ),
        dead_man=end_in_words(intent, stays=stays),
    )


def _trust(observation: AwsObservation, role: str, intent: PlatformIntent) -> tuple[Setting | None, str]:
    """The closed trust, and what is to be said of its end: nothing if AWS itself opens it again."""
    now = observation.value(role, "trust")
    before = without_statement(now, intent.incident_id)
    ours = denial(intent, Principal=_everybody(before), Action=ASSUMING)
    del ours["Resource"]
    added = with_statement(before, ours)
    if intent.ends == "open" and length(added) <= LONGEST_TRUST:
        after, stays = added, ""
    else:
        # Nothing is allowed where nothing but a deny stands. A document without a statement is refused by AWS.
        ours |= {"Principal": {"AWS": "*"}}
        after, stays = denial_document({k: v for k, v in ours.items() if k != "Condition"}), "its trust stays closed"
    words = f"{role}: nobody may assume it{fragile(before)}"
    return setting(role, "trust", Values(now, before, after), words, ROLE_TRUST), stays


def _everybody(trust: object) -> dict[str, Any]:
    """Every account, and by name each service and identity provider that the trust names.

    IAM takes no bare `*` as a trust's principal, and nothing it says of `{"AWS": "*"}` in a trust includes services.
    """
    found: dict[str, set[str]] = {"AWS": {"*"}}
    for statement in statements_of(trust):
        principal = statement.get("Principal")
        for kind, names in principal.items() if isinstance(principal, dict) else ():
            if kind != "AWS":
                found.setdefault(kind, set()).update([names] if isinstance(names, str) else names)
    return {kind: sorted(names) if len(names) > 1 else names.pop() for kind, names in sorted(found.items())}


def plan_user(observation: AwsObservation, intent: PlatformIntent) -> PlatformChange:
    """Deny a user everything, then make its keys inactive; its password only if the playbook says so.

    Raises:
        TargetHeld: another incident contains it.
        WouldLockOut: it is the user we act with.
    """
    user = f"iam-user/{observation.reference.name}"
    _refuse(observation, user, intent)
    deletes = intent.aws.login_profile == "delete"
    place = (user, f"policy.{mark(intent.incident_id)}")
    denied = _denied(observation, place, denial(intent), f"{user}: deny everything")
    keys = [fact.attribute for fact in observation.facts if fact.resource == user and fact.attribute.startswith("key.")]
    stays = [
        *(["its keys stay inactive"] if keys else []),
        *(["its console password stays deleted"] if deletes else []),
    ]
    return PlatformChange(
        **incident(intent),
        mechanism="user-denial",
        why="an inactive key does not end the sessions that were made with it; an explicit deny reaches those too",
        settings=needed(
            denied,
            *(_key(observation, user, key) for key in keys),
            _password(observation, user) if deletes else None,
        ),
        cuts=(f"everything that {user} asks, by key, console or session, and URLs signed with one",),
        stays=() if deletes else (f"the console login of {user}: it works, and is denied everything",),
        cannot=(f"sessions of roles that {user} has assumed: they are the roles', revoke those roles too", SPREADING),
        dead_man=end_in_words(intent, stays=" and ".join(stays)),
    )


def _key(observation: AwsObservation, user: str, key: str) -> Setting | None:
    now = observation.value(user, key)
    words = f"{user}: make access key {key.removeprefix('key.')} inactive"
    return setting(user, key, Values(now, now, "Inactive"), words, USER_KEY)


def _password(observation: AwsObservation, user: str) -> Setting | None:
    now = observation.value(user, "login-profile")
    words = f"{user}: delete its console password; a new one has to be set by hand"
    deleted = setting(user, "login-profile", Values(now, now, None), words, USER_PASSWORD)
    return deleted.model_copy(update={"reversible": False}) if deleted else None


def _denied(
    observation: AwsObservation, place: tuple[str, str], statement: dict[str, Any], words: str
) -> Setting | None:
    """The inline policy with this statement. What of ours was there before, lapsed or edited, is nothing to restore."""
    now = observation.value(*place)
    before = None if statement["Sid"] in [each.get("Sid") for each in statements_of(now)] else now
    permissions = ROLE_POLICY if place[0].startswith("iam-role/") else USER_POLICY
    return setting(*place, Values(now, before, denial_document(statement)), words, permissions)


def _refuse(observation: AwsObservation, identity: str, intent: PlatformIntent) -> None:
    kind, _, name = identity.partition("/")
    who = {"iam-role": "assumed-role", "iam-user": "user"}[kind]
    own = str(observation.value("caller", "arn") or "").rpartition(":")[2].split("/")
    if own[0] == who and name == own[1 if kind == "iam-role" else -1]:
        raise WouldLockOut(
            f"{identity} is who Firebreak acts as in this account: contained, it could not release anything again.",
            hint="If it is compromised, have the account's administrators replace it, then contain the old one.",
        )
    policies = observation.value(identity, "policies")
    refuse_held(identity, map(str, policies) if isinstance(policies, list) else (), intent.incident_id)


def _used_by(observation: AwsObservation, role: str) -> str:
    """Who else is hit: a role's sessions can't be told apart by who holds them."""
    users = observation.value(role, "used-by")
    names = [str(user) for user in users] if isinstance(users, list) else []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    seen = ", ".join(names[:NAMED]) + more
    return "; it hits every session of the role, not the intruder's alone" + (f", those of {seen} too" if seen else "")
