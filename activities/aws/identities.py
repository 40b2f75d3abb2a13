"""Policies, trust, keys and passwords of IAM's roles and users, read and written.

Owns the calls for each attribute that `playbooks.aws.identities` names, with the permissions beside them. Never decides
what is set.
"""

from pydantic import JsonValue

from activities.aws import identity_documents as documents
from activities.aws.attributes import Account, Attribute, Attributes
from activities.aws.identity_observe import ROLE_OBSERVER, USER_OBSERVER, keys_of, observe_role, observe_user
from activities.aws.identity_policies import ROLE, USER, unless_absent
from activities.killswitch.platform import Moment, PlatformRefused
from playbooks.aws.denials import sid
from playbooks.aws.identities import ROLE_POLICY, ROLE_TRUST, USER_KEY, USER_PASSWORD, USER_POLICY


def read_trust(account: Account, name: str) -> JsonValue:
    """Who may assume a role."""
    trust = account.client("iam").get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    document: JsonValue = documents.read(trust, sid(account.incident_id))
    return document


def write_trust(account: Account, name: str, value: JsonValue, moment: Moment) -> None:
    """Replace who may assume a role; a role can't be without."""
    if value is None:
        raise PlatformRefused(f"iam-role/{name}: a role has to have a trust policy, none is to be written.")
    text = documents.written(value, None, moment, sid(account.incident_id))
    account.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=text)


def read_key(account: Account, name: str) -> JsonValue:
    """Whether `user/key` is `Active` or `Inactive`; None if there is no such key."""
    user, _, key = name.partition("/")
    return keys_of(account, user).get(key)


def write_key(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - has no time
    """Make `user/key` active or inactive."""
    user, _, key = name.partition("/")
    account.client("iam").update_access_key(UserName=user, AccessKeyId=key, Status=value)


def read_password(account: Account, name: str) -> JsonValue:
    """True if a user has a console password."""
    return True if unless_absent(lambda: account.client("iam").get_login_profile(UserName=name)) else None


def write_password(account: Account, name: str, value: JsonValue, moment: Moment) -> None:  # noqa: ARG001 - has no time
    """Delete a user's console password; nobody knows what it was."""
    if value is not None:
        raise PlatformRefused(
            f"iam-user/{name}: a deleted console password can't be restored.", hint="Set a new one by hand."
        )
    unless_absent(lambda: account.client("iam").delete_login_profile(UserName=name))


ATTRIBUTES: Attributes = {
    ("iam-role", "policy"): Attribute(ROLE.read, ROLE.write, ROLE_POLICY),
    ("iam-role", "trust"): Attribute(read_trust, write_trust, ROLE_TRUST),
    ("iam-user", "policy"): Attribute(USER.read, USER.write, USER_POLICY),
    ("iam-user", "login-profile"): Attribute(read_password, write_password, USER_PASSWORD),
    ("iam-user", "key"): Attribute(read_key, write_key, USER_KEY),
}
OBSERVERS = {
    "iam-role": observe_role,
    "iam-user": observe_user,
}
OBSERVER_PERMISSIONS = {"iam-role": ROLE_OBSERVER, "iam-user": USER_OBSERVER}
