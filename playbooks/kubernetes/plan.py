"""Planning the containment of a Kubernetes target: Observation and intent in, Change out. Pure.

Owns which planner plans which kind of target, and what every change of a cluster has in common. Runs in the workflow;
`activities.kubernetes` observes and applies.

    change = plan_kubernetes(observation, intent)
    change.settings                                    # in this order, none of them opens anything
    plan_kubernetes(observation_of_that, intent).empty # -> True
"""

from playbooks.change import PlatformChange
from playbooks.kubernetes.accounts import plan_account
from playbooks.kubernetes.draft import Draft
from playbooks.kubernetes.nodes import plan_node
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.pods import plan_pods
from playbooks.platform_intent import PlatformIntent

DEAD_MAN = "a cluster has none of its own: it holds until Firebreak runs again and releases it"


def plan_kubernetes(observation: KubernetesObservation, intent: PlatformIntent) -> PlatformChange:
    """The change that contains a target; empty where it is contained already.

    Raises:
        TargetGone: the target was not seen.
        TargetHeld: another incident holds it.
        MechanismMissing: the playbook asks for what the cluster does not have.
        NameUnfit: the incident's id can't be written into a label.
    """
    draft = _draft(observation, intent)
    return PlatformChange(
        incident_id=intent.incident_id,
        target_id=intent.target_id,
        platform="kubernetes",
        mechanism=draft.mechanism,
        why=draft.why,
        settings=draft.settings,
        cuts=_once(draft.cuts),
        stays=_once(draft.stays),
        cannot=_once(draft.cannot),
        lease_seconds=intent.lease_seconds,
        ends=intent.ends,
        dead_man=DEAD_MAN,
    )


def _draft(observation: KubernetesObservation, intent: PlatformIntent) -> Draft:
    match observation.reference.resource:
        case "Node":
            return plan_node(observation, intent)
        case "ServiceAccount":
            return plan_account(observation, intent)
        case _:
            return plan_pods(observation, intent)


def _once(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
