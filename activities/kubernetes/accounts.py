"""A service account, what it may and which token Secrets it has.

Owns finding what names an account: itself, as the user it is authenticated as, or a group that every account is in.
"""

from concurrent.futures import Executor

from activities.killswitch.platform import TargetUnknown
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.identities import TOKEN_OF
from activities.kubernetes.places import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS, Place
from activities.kubernetes.seen import binding_seen
from playbooks.kubernetes.observation import AccountSeen, BindingSeen

_TOKENS = "type=kubernetes.io/service-account-token"
_EVERY_ACCOUNT = ("system:authenticated", "system:serviceaccounts")
_BINDINGS = {"RoleBinding": ROLE_BINDINGS, "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS}
# Listing Secrets needs a right that reads them all; we ask for their metadata alone, and no secret reaches us.
PERMISSIONS = (
    Place(SERVICE_ACCOUNTS).permission("get"),
    *(Place(api).permission("list") for api in (*_BINDINGS.values(), SECRETS)),
)


def account_seen(pool: Executor, calls: Calls, namespace: str, name: str) -> AccountSeen:
    """The account as it is now.

    Raises:
        TargetUnknown: there is none of this name.
    """
    bindings = {kind: pool.submit(calls.every, Place(api)) for kind, api in _BINDINGS.items()}
    secrets = pool.submit(calls.every, Place(SECRETS, namespace), fields=_TOKENS, metadata_only=True)
    found = calls.get(Place(SERVICE_ACCOUNTS, namespace, name))
    if found is None:
        raise TargetUnknown(f"There is no service account {namespace}/{name} in cluster {calls.cluster}.")
    return AccountSeen(
        namespace=namespace,
        name=name,
        uid=found["metadata"]["uid"],
        labels=found["metadata"].get("labels") or {},
        token_secrets=tuple(
            sorted(
                one["metadata"]["name"]
                for one in secrets.result()
                if (one["metadata"].get("annotations") or {}).get(TOKEN_OF) == name
            )
        ),
        bindings=tuple(
            sorted(
                (
                    binding_seen(kind, one)
                    for kind, asked in bindings.items()
                    for one in asked.result()
                    if any(names_account(subject, namespace, name, one) for subject in one.get("subjects") or ())
                ),
                key=_order,
            )
        ),
    )


def names_account(subject: Raw, namespace: str, name: str, binding: Raw) -> bool:
    """Whether a subject of a binding is this account, or a group that it is in."""
    if subject.get("kind") == "ServiceAccount":
        # Without a namespace it is one of the binding's own.
        within = subject.get("namespace") or binding["metadata"].get("namespace")
        return subject.get("name") == name and within == namespace
    if subject.get("kind") == "User":
        return subject.get("name") == f"system:serviceaccount:{namespace}:{name}"
    return subject.get("name") in (*_EVERY_ACCOUNT, f"system:serviceaccounts:{namespace}")


def _order(one: BindingSeen) -> tuple[str, str, str]:
    return one.kind, one.namespace, one.name
