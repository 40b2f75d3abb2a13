"""Planning for what is made of pods: a pod, the pods of a controller, a namespace.

Owns the order: our policies come first and the labels after them, so that a pod leaves other policies only into ours;
between any two settings nothing is more open than before. What is done beside the network comes last.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from playbooks.kubernetes import calico_policies, caveats
from playbooks.kubernetes.belonging import label_words, owned_still, told_belonging
from playbooks.kubernetes.denials import Making, denials
from playbooks.kubernetes.differences import Difference, told
from playbooks.kubernetes.draft import Draft, beside, named
from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.held import refuse_held
from playbooks.kubernetes.marks import name_of
from playbooks.kubernetes.mechanisms import Choice, api_of, choose
from playbooks.kubernetes.mesh import plan_mesh
from playbooks.kubernetes.objects import OurObject
from playbooks.kubernetes.observation import KubernetesObservation, PodSeen, PolicySeen
from playbooks.kubernetes.precautions import plan_precautions
from playbooks.kubernetes.reach import Policies
from playbooks.kubernetes.relabel import Leaving, Relabelled, kinds_of, quarantined
from playbooks.kubernetes.selection import Selection, select
from playbooks.kubernetes.settings import labels_of, present
from playbooks.platform_intent import PlatformIntent

OUTSIDE_POLICIES = "escalate-to-node"
LONGEST_WORDS = 2048


def plan_pods(observation: KubernetesObservation, intent: PlatformIntent) -> Draft:
    """What cuts the pods of a target off.

    Raises:
        TargetGone: there is no such pod or controller.
        TargetHeld: another incident holds one of them.
        MechanismMissing: the playbook asks for what the cluster does not have.
    """
    reference = observation.reference
    if reference.resource == "Pod" and not observation.pods:
        raise TargetGone(f"Pod {reference.namespace}/{reference.name} was not seen.", hint="It is gone, or renamed.")
    refuse_held(observation, intent.incident_id)
    on_host = tuple(pod for pod in observation.pods if pod.host_network)
    networked = tuple(pod for pod in observation.pods if not pod.host_network)
    escalation = beside(cannot=caveats.of_host_network(observation, on_host))
    if reference.resource == "Pod" and on_host:
        return _marked(observation, intent, on_host) + escalation
    return _cut(observation, intent, networked) + escalation


def _cut(observation: KubernetesObservation, intent: PlatformIntent, pods: tuple[PodSeen, ...]) -> Draft:
    facts, name = observation.facts, name_of(intent)
    choice = choose(facts, intent.kubernetes.mechanism)
    selection = select(observation, intent, choice)
    objects = _objects(observation, intent, choice, selection)
    view = _View(observation, Policies(_with(observation, objects), observation.namespaces))
    kinds = view.relabelled(pods, selection.leaving, intent.incident_id)
    peers = caveats.of_peers(kinds, [view.with_ours.reach(kind.after) for kind in kinds])
    return (
        Draft(choice.mechanism, choice.why)
        + beside([present(object_, observation.policies) for object_ in objects])
        + view.labels(kinds)
        + told(view.differences(kinds), caveats.advice(choice, observation))
        + told_belonging(observation.selectors, kinds)
        + beside(cannot=[*peers, *selection.cannot, *caveats.of_mechanism(choice, facts, observation.policies)])
        + plan_mesh(observation, intent.incident_id, name, selection.scopes[0], pods)
        + plan_precautions(observation, intent, observation.pods, ends_pods=view.ends(kinds))
    )


def _marked(observation: KubernetesObservation, intent: PlatformIntent, pods: tuple[PodSeen, ...]) -> Draft:
    """Pods that no policy reaches: they are marked and taken out of Services, and the plan says what they need."""
    view = _View(observation, Policies(observation.policies, observation.namespaces))
    leaving = Leaving(policies=False, controllers=False, services=intent.kubernetes.remove_from_services)
    kinds = view.relabelled(pods, (leaving,), intent.incident_id)
    why = "it is on the network of its node, which no NetworkPolicy of any kind holds"
    return (
        Draft(OUTSIDE_POLICIES, why)
        + view.labels(kinds)
        + told_belonging(observation.selectors, kinds)
        + plan_precautions(observation, intent, pods, ends_pods=view.ends(kinds))
    )


def _objects(
    observation: KubernetesObservation, intent: PlatformIntent, choice: Choice, selection: Selection
) -> tuple[OurObject, ...]:
    tiered = any(api_of(observation.facts, group, "tiers") for group in calico_policies.GROUPS)
    found: list[OurObject] = []
    for number, scope in enumerate(selection.scopes):
        name = f"{name_of(intent)}-{number + 1}" if number else name_of(intent)
        found += denials(choice, scope, Making(intent.incident_id, name, observation.policies, tiered))
    return tuple(found)


def _with(observation: KubernetesObservation, objects: tuple[OurObject, ...]) -> tuple[PolicySeen, ...]:
    others = (policy for policy in observation.policies if not any(object_.is_at(policy) for object_ in objects))
    return (*others, *(object_.seen for object_ in objects))


@dataclass(frozen=True)
class _View:
    """The cluster as it is, and with our policies in it."""

    observation: KubernetesObservation
    with_ours: Policies

    def relabelled(
        self, pods: Iterable[PodSeen], leaving: tuple[Leaving, ...], incident_id: str
    ) -> tuple[Relabelled, ...]:
        """Pods before and after, those that are alike together."""
        if not leaving:
            # Our policies select by the owner's labels: what another target took away is not held, it has to come back.
            pods = [pod.model_copy(update={"held": {}}) for pod in pods]
        return tuple(Relabelled(kind[0], self._after(kind[0], leaving, incident_id), kind) for kind in kinds_of(pods))

    def _after(self, pod: PodSeen, leaving: tuple[Leaving, ...], incident_id: str) -> PodSeen:
        after = pod
        for one in leaving:
            labels = quarantined(pod, one, self.observation.selectors, self.with_ours, incident_id)
            after = pod.model_copy(update={"labels": labels})
            reach = self.with_ours.reach(after)
            if not reach.ingress.passages and not reach.egress.passages:
                break
        return after

    def labels(self, kinds: tuple[Relabelled, ...]) -> Draft:
        """The settings that make them so."""
        worded = [(kind, label_words(self.observation.selectors, self.with_ours, kind)) for kind in kinds if kind.set]
        return beside(
            labels_of(pod, kind.after.labels, f"{named([pod])}: {words}"[:LONGEST_WORDS])
            for kind, words in worded
            for pod in kind.pods
        )

    def differences(self, kinds: tuple[Relabelled, ...]) -> list[Difference]:
        """What becomes of their reach."""
        now = Policies(self.observation.policies, self.observation.namespaces)
        return [Difference(kind.pods, now.reach(kind.before), self.with_ours.reach(kind.after)) for kind in kinds]

    def ends(self, kinds: tuple[Relabelled, ...]) -> bool:
        """Whether scaling their controllers down ends these pods too."""
        return owned_still(self.observation.selectors, kinds)
