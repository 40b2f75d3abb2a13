"""How the pods of a target are selected by our policies: by label, by their owner's selector, by their namespace.

Owns that choice for each kind of target and mechanism, and out of what the pods are taken. Where a denial beats every
permission it selects as the target does, and holds for pods that come later; plain NetworkPolicy needs every pod
relabelled.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from playbooks.kubernetes.errors import TargetGone
from playbooks.kubernetes.marks import quarantine
from playbooks.kubernetes.mechanisms import Choice
from playbooks.kubernetes.objects import Scope
from playbooks.kubernetes.observation import KubernetesObservation
from playbooks.kubernetes.relabel import Leaving
from playbooks.kubernetes.selectors import wanted_keys
from playbooks.platform_intent import PlatformIntent

# Cilium gives a pod its identity by labels, and leaves these out of it: a selector by one of them selects nothing.
# https://docs.cilium.io/en/stable/operations/performance/scalability/identity-relevant-labels/
_NO_IDENTITY = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid"})
_NO_IDENTITY_PREFIXES = ("batch.kubernetes.io/", "kubernetes.io/", "statefulset.kubernetes.io/", "apps.kubernetes.io/")
_UNSCALABLE = frozenset({"DaemonSet", "Job"})


_REPLACED = "what a controller starts in place of these pods has their labels, and what permits them"


@dataclass(frozen=True)
class Selection:
    """What our policies select, and out of what pods are relabelled.

    Of `leaving` the first that leaves nothing open holds, or the last; without any no label changes.
    """

    scopes: tuple[Scope, ...]
    leaving: tuple[Leaving, ...] = ()
    cannot: tuple[str, ...] = ()


def select(observation: KubernetesObservation, intent: PlatformIntent, choice: Choice) -> Selection:
    """How the pods of the target are selected.

    Raises:
        TargetGone: the target is a controller, and what it selects was not seen.
    """
    reference, plain = observation.reference, choice.mechanism == "network-policy"
    services = intent.kubernetes.remove_from_services
    every = Leaving(policies=True, controllers=True, services=services)
    if reference.resource == "Namespace":
        replaced = (
            ("what a controller starts in place of these pods has their labels, and what permits them",)
            if plain
            else ()
        )
        return Selection((Scope(namespace=reference.name),), (every,) if plain else (), replaced)
    marked = Scope(namespace=reference.namespace, selector={"matchLabels": {**quarantine(intent.incident_id)}})
    if reference.resource == "Pod":
        return Selection((marked,), (every,) if plain else _of_pod(choice, services=services))
    owned = Scope(namespace=reference.namespace, selector=_owned(observation))
    if plain:
        # The second holds what the controller starts from now on, as far as no other policy permits it anything.
        return Selection((marked, owned), (every,), tuple(_replacements(observation, intent)))
    if choice.mechanism == "cilium" and any(map(_without_identity, wanted_keys(owned.selector))):
        later = f"pods that {reference.resource} {reference.name} starts later: Cilium selects by none of its labels"
        return Selection((marked,), (Leaving(policies=False, controllers=False, services=False),), (later,))
    return Selection((owned,))


def _of_pod(choice: Choice, *, services: bool) -> tuple[Leaving, ...]:
    label_only = Leaving(policies=False, controllers=False, services=services)
    if choice.mechanism != "admin-network-policy":
        return (label_only,)
    # What the admin tier has no word for is left to the NetworkPolicy beside it, and that holds once the pod has left
    # the others.
    return label_only, Leaving(policies=True, controllers=False, services=services)


def _owned(observation: KubernetesObservation) -> dict[str, JsonValue]:
    reference = observation.reference
    for seen in observation.selectors:
        if (seen.kind, seen.namespace, seen.name) == (reference.resource, reference.namespace, reference.name):
            return seen.selector
    raise TargetGone(
        f"{reference.resource} {reference.namespace}/{reference.name} was not seen, nor what it selects.",
        hint="It is gone, or its name, namespace or cluster is another one.",
    )


def _replacements(observation: KubernetesObservation, intent: PlatformIntent) -> Iterator[str]:
    reference = observation.reference
    what = f"pods that {reference.resource} {reference.name} starts in place of the relabelled ones"
    can = "can do what other policies let them"
    if intent.kubernetes.scale_to_zero and reference.resource not in _UNSCALABLE:
        yield f"{what} {can}, until it is scaled to zero"
    else:
        yield f"{what} {can}: scaling it to zero ends them, or a mechanism whose denials hold for them too"


def _without_identity(key: str) -> bool:
    return key in _NO_IDENTITY or key.startswith(_NO_IDENTITY_PREFIXES)
