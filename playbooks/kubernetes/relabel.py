"""The labels of a pod in quarantine: ours added, and those taken away by which others select it.

Owns which labels go. NetworkPolicies only ever add permission: a deny-all isolates nothing while another policy still
selects the pod, so the pod has to leave them. But a label taken away can also bring a pod into a policy (`NotIn`,
`DoesNotExist`), and then the label stays: what a pod can do never grows by leaving.

    labels = quarantined(pod, Leaving(policies=True, controllers=True, services=True), selectors, policies, "inc-1")
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from playbooks.kubernetes import calico_policies, cilium_policies, network_policies
from playbooks.kubernetes.calico_selectors import parse
from playbooks.kubernetes.marks import INCIDENT, QUARANTINE, quarantine
from playbooks.kubernetes.observation import Labels, PodSeen, PolicySeen, SelectorSeen
from playbooks.kubernetes.peers import let_in_more
from playbooks.kubernetes.reach import Alike, Policies, alike, more_open
from playbooks.kubernetes.readings import items
from playbooks.kubernetes.selectors import SelectorUnknown, matches, wanted_keys


@dataclass(frozen=True)
class Leaving:
    """What a pod is taken out of."""

    policies: bool
    controllers: bool
    services: bool


@dataclass(frozen=True)
class Relabelled:
    """Pods that are alike: one of them before and after, which stands for all."""

    before: PodSeen
    after: PodSeen
    pods: tuple[PodSeen, ...]

    @property
    def set(self) -> bool:
        """Whether any of them needs its labels set, or held where another target's containment has set them."""
        return self.before.labels != self.after.labels or any("labels" in pod.held for pod in self.pods)

    def leaves(self, seen: SelectorSeen) -> bool:
        """Whether they were selected by it, and are not any more."""
        return bool(selected_by(self.before, [seen])) and not selected_by(self.after, [seen])


def kinds_of(pods: Iterable[PodSeen]) -> list[tuple[PodSeen, ...]]:
    """Pods, those that are alike together."""
    kinds: dict[Alike, list[PodSeen]] = {}
    for pod in pods:
        kinds.setdefault(alike(pod), []).append(pod)
    return [tuple(found) for found in kinds.values()]


def quarantined(
    pod: PodSeen, leaving: Leaving, selectors: Iterable[SelectorSeen], policies: Policies, incident_id: str
) -> Labels:
    """The labels of the pod in quarantine. `policies` are those that stand by then, our own included.

    Of its own result it takes nothing away again: so a second plan is empty.
    """
    near = tuple(seen for seen in selectors if seen.namespace == pod.namespace)
    marked = pod.model_copy(update={"labels": {**pod.labels, **quarantine(incident_id)}})
    while True:
        fewer = _without(marked, _keys(marked, leaving, near, policies), policies)
        if fewer.labels == marked.labels:
            return marked.labels
        marked = fewer


def selected_by(pod: PodSeen, selectors: Iterable[SelectorSeen]) -> tuple[SelectorSeen, ...]:
    """The Services and controllers that select the pod."""
    return tuple(seen for seen in selectors if seen.namespace == pod.namespace and _selects(seen, pod))


def _selects(seen: SelectorSeen, pod: PodSeen) -> bool:
    # A Service without a selector has endpoints of its own making: it selects nothing.
    return bool(seen.selector) and matches(_selector(seen), pod.labels)


def _selector(seen: SelectorSeen) -> dict[str, JsonValue]:
    return {"matchLabels": seen.selector} if seen.kind == "Service" else seen.selector


def _without(pod: PodSeen, keys: frozenset[str], policies: Policies) -> PodSeen:
    """The pod without these labels, or where that would open something without those of them that would not."""
    fewer = _less(pod, keys)
    if not _opens(pod, fewer, policies):
        return fewer
    kept_out: frozenset[str] = frozenset()
    for key in sorted(keys):
        if not _opens(pod, _less(pod, kept_out | {key}), policies):
            kept_out |= {key}
    return _less(pod, kept_out)


def _less(pod: PodSeen, keys: frozenset[str]) -> PodSeen:
    return pod.model_copy(update={"labels": {key: value for key, value in pod.labels.items() if key not in keys}})


def _opens(before: PodSeen, after: PodSeen, policies: Policies) -> bool:
    left = policies.reach(after)
    return more_open(policies.reach(before), left) or let_in_more(policies.policies, before, after, left)


def _keys(pod: PodSeen, leaving: Leaving, near: tuple[SelectorSeen, ...], policies: Policies) -> frozenset[str]:
    wanted: set[str] = set()
    for seen in selected_by(pod, near):
        if leaving.services if seen.kind == "Service" else leaving.controllers:
            wanted |= wanted_keys(_selector(seen))
    if leaving.policies:
        for policy in policies.selecting(pod):
            if INCIDENT not in policy.labels:
                wanted |= set(_wanted_by(policy))
    return frozenset(wanted & set(pod.labels)) - {QUARANTINE}


def _wanted_by(policy: PolicySeen) -> Iterator[str]:
    """Labels of the pod on which its selection hangs. A denial of the admin tier is nothing to leave."""
    try:
        if policy.group == network_policies.GROUP:
            yield from wanted_keys(policy.spec.get("podSelector"))
        elif policy.group == cilium_policies.GROUP:
            for spec in items(policy.spec.get("specs")) or [policy.spec]:
                yield from wanted_keys(cilium_policies.selecting(spec.get("endpointSelector")))
        elif policy.group in calico_policies.GROUPS:
            yield from parse(str(policy.spec.get("selector") or "")).keys
    except SelectorUnknown:
        return
