"""Whether another incident contains a target already.

Owns that refusal: two incidents that hold one pod would undo each other's labels when the first is released.
"""

from playbooks.kubernetes.draft import named
from playbooks.kubernetes.marks import holder, maker
from playbooks.kubernetes.observation import AccountSeen, KubernetesObservation
from playbooks.kubernetes.reach import Policies
from playbooks.kubernetes.readings import title
from playbooks.platform_intent import TargetHeld


def refuse_held(observation: KubernetesObservation, incident_id: str) -> None:
    """Refuse a target of which another incident holds a part.

    Raises:
        TargetHeld: names the part and the incident.
    """
    theirs = tuple(policy for policy in observation.policies if maker(policy.labels, incident_id))
    policies = Policies(theirs, observation.namespaces)
    for pod in observation.pods:
        other = holder(pod.labels, incident_id)
        if other:
            raise _held(f"{named([pod])} is in quarantine", other)
        selecting = policies.selecting(pod)
        if selecting:
            other = maker(selecting[0].labels, incident_id)
            raise _held(f"{named([pod])} is selected by {title(selecting[0])}", other)


def refuse_held_node(observation: KubernetesObservation, incident_id: str) -> None:
    """Refuse a node that another incident holds.

    Raises:
        TargetHeld: names the node and the incident.
    """
    for node in observation.nodes:
        other = holder(node.labels, incident_id)
        if other:
            raise _held(f"node {node.name} is in quarantine", other)


def refuse_held_account(account: AccountSeen, incident_id: str) -> None:
    """Refuse a service account that another incident holds: what that one took from it comes back when it lets go.

    Raises:
        TargetHeld: names the account and the incident.
    """
    other = holder(account.labels, incident_id)
    if other:
        raise _held(f"service account {account.namespace}/{account.name} is in quarantine", other)


def _held(words: str, other: str) -> TargetHeld:
    return TargetHeld(
        f"{words[0].upper()}{words[1:]} for incident {other}.",
        hint=f"Go on there, or ask again once incident {other} has released it.",
    )
