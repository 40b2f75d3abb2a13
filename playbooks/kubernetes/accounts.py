"""Planning for a service account: what it may is taken away, and every token of it is void.

Owns the order. Bindings first: what a stolen token may ends at once and for every copy of it, and comes back on
release. Then the identity, which does not.
"""

from collections.abc import Iterator

from pydantic import JsonValue

from playbooks.change import Setting
from playbooks.kubernetes.draft import Draft, beside, named
from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.held import refuse_held_account
from playbooks.kubernetes.observation import AccountSeen, BindingSeen, KubernetesObservation
from playbooks.kubernetes.precautions import void_tokens
from playbooks.kubernetes.settings import account_held, subjects_of
from playbooks.platform_intent import PlatformIntent

_MECHANISM = "credentials"
_WHY = "a service account is no address: what cuts it off is that it may nothing and that no token of it is valid"
_EVERYBODY = ("system:authenticated", "system:serviceaccounts")


def plan_account(observation: KubernetesObservation, intent: PlatformIntent) -> Draft:
    """What makes a service account worthless to whoever holds a token of it.

    Raises:
        TargetGone: there is no such account.
        TargetHeld: another incident holds it.
    """
    account, reference = observation.account, observation.reference
    if account is None:
        raise TargetGone(f"Service account {reference.namespace}/{reference.name} was not seen.", hint="It is gone.")
    refuse_held_account(account, intent.incident_id)
    name = f"{account.namespace}/{account.name}"
    bindings = [_without(binding, account) for binding in account.bindings]
    tokens = list(void_tokens(account, intent.incident_id, essential=True))
    running = f": contain {named(observation.pods)} too" if observation.pods else ""
    return Draft(_MECHANISM, _WHY) + beside(
        [account_held(account, intent.incident_id), *bindings, *tokens],
        cuts=[f"requests to the API server as {name}, by every token issued so far"] if tokens else [],
        cannot=[
            *_by_group(account),
            f"a pod that runs as {name} is handed a new token, good for what is bound to everybody{running}",
            f"the network of what runs as {name}, and its token at other systems that trust the cluster",
        ],
    )


def _without(binding: BindingSeen, account: AccountSeen) -> Setting | None:
    others: list[JsonValue] = [{**subject} for subject in binding.subjects if not _names(subject, binding, account)]
    where = f"{binding.namespace}/{binding.name}" if binding.namespace else binding.name
    words = f"take service account {account.namespace}/{account.name} out of {binding.kind} {where}"
    return subjects_of(binding, others, words)


def _names(subject: dict[str, JsonValue], binding: BindingSeen, account: AccountSeen) -> bool:
    if subject.get("kind") == "ServiceAccount":
        place = (subject.get("namespace") or binding.namespace, subject.get("name"))
        return place == (account.namespace, account.name)
    # The same account by the name under which it is authenticated.
    return subject.get("name") == f"system:serviceaccount:{account.namespace}:{account.name}"


def _by_group(account: AccountSeen) -> Iterator[str]:
    groups = (*_EVERYBODY, f"system:serviceaccounts:{account.namespace}")
    for binding in account.bindings:
        for subject in binding.subjects:
            if subject.get("kind") == "Group" and subject.get("name") in groups:
                yield f"what {binding.kind} {binding.name} gives to group {subject.get('name')}, others with it"
