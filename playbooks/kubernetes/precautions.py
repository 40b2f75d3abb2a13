"""What is done beside the network: cordon, scale to zero, tokens. None of it is the cut, and none of it stops the cut.

Owns these settings and what they come to.
"""

from collections.abc import Iterable, Iterator
from typing import cast, get_args

from playbooks.change import Setting
from playbooks.kubernetes.draft import Draft, beside
from playbooks.kubernetes.marks import INCIDENT
from playbooks.kubernetes.observation import AccountSeen, KubernetesObservation, PodSeen, SelectorSeen
from playbooks.kubernetes.settings import Scalable, cordoned, rotated, scaled, secret_gone
from playbooks.platform_intent import PlatformIntent

_RENEWED = (
    "a pod that goes on running is handed a new token of its service account by its kubelet within the hour: "
    "only ending the pod, or taking the account's bindings away, keeps it from the API"
)


def plan_precautions(
    observation: KubernetesObservation, intent: PlatformIntent, pods: Iterable[PodSeen], *, ends_pods: bool
) -> Draft:
    """What the playbook's options add for pods. `ends_pods`: scaling to zero ends the pods in quarantine too."""
    found, options = tuple(pods), intent.kubernetes
    # Scaled last: a pod that has left its controller by then outlives it, as evidence; one that was being ended could
    # not be relabelled any more. What the controller starts in between is no more open than what it replaces.
    return sum(
        (
            _cordon(observation, found) if options.cordon else beside(),
            _tokens(observation, intent, found) if options.revoke_tokens else beside(),
            _scale(observation, found, ends_pods=ends_pods) if options.scale_to_zero else beside(),
        ),
        start=beside(),
    )


def void_tokens(account: AccountSeen, incident_id: str, *, essential: bool) -> Iterator[Setting]:
    """Every token of an account: those in Secrets first, which would not outlive it but might be read meanwhile."""
    for secret in account.token_secrets:
        yield secret_gone(account.namespace, secret, essential=essential)
    if account.labels.get(INCIDENT) != incident_id:
        yield rotated(account, essential=essential)


def _cordon(observation: KubernetesObservation, pods: tuple[PodSeen, ...]) -> Draft:
    wanted = {pod.node for pod in pods if pod.node}
    seen = {node.name: node for node in observation.nodes}
    unseen = sorted(wanted - seen.keys())
    return beside(
        [cordoned(seen[name], essential=False) for name in sorted(wanted & seen.keys())],
        cannot=[f"node {name} is not cordoned: it was not seen" for name in unseen],
    )


def _tokens(observation: KubernetesObservation, intent: PlatformIntent, pods: tuple[PodSeen, ...]) -> Draft:
    account = observation.account
    wanted = {(pod.namespace, pod.service_account) for pod in pods}
    seen = {(account.namespace, account.name)} if account else set()
    settings = void_tokens(account, intent.incident_id, essential=False) if account and wanted & seen else ()
    unseen = sorted(wanted - seen)
    cannot = [f"tokens of service account {space}/{name} stay valid: it was not seen" for space, name in unseen]
    return beside(settings, cannot=[*cannot, _RENEWED])


def _scale(observation: KubernetesObservation, pods: tuple[PodSeen, ...], *, ends_pods: bool) -> Draft:
    reference = observation.reference
    named = {(pod.namespace, pod.controller) for pod in pods if pod.controller}
    if observation.reference.resource not in ("Pod", "Namespace"):
        named.add((reference.namespace, f"{reference.resource}/{reference.name}"))
    tops = {(space, _top(observation.selectors, space, owner)) for space, owner in named}
    drafts = (_scaled(observation.selectors, space, owner, ends_pods=ends_pods) for space, owner in sorted(tops))
    return sum(drafts, start=beside())


def _scaled(selectors: tuple[SelectorSeen, ...], namespace: str, owner: str, *, ends_pods: bool) -> Draft:
    kind, _, name = owner.partition("/")
    seen = _seen(selectors, namespace, owner)
    words = f"{kind} {namespace}/{name}"
    if kind not in get_args(Scalable):
        return beside(cannot=[f"{words} can't be scaled to zero: it has no number of replicas"])
    if seen is None or seen.replicas is None:
        return beside(cannot=[f"{words} is not scaled to zero: it was not seen"])
    if seen.replicas == 0:
        # Its scale takes no mark of who holds it, and a right to its object would be one to run anything.
        return beside(cannot=[f"{words} is at zero already: who scaled it, another target perhaps, may scale it up"])
    ends = "its pods, and the evidence in them" if ends_pods else "its pods but those in quarantine, which left it"
    ended = f"scale {words} from {seen.replicas} to zero: ends {ends}"
    return beside([scaled(cast("Scalable", kind), namespace, name, seen.replicas, ended)])


def _top(selectors: tuple[SelectorSeen, ...], namespace: str, owner: str) -> str:
    """The controller that decides: a Deployment sets its ReplicaSet back to what it wants."""
    seen = _seen(selectors, namespace, owner)
    return _top(selectors, namespace, seen.owner) if seen is not None and seen.owner else owner


def _seen(selectors: tuple[SelectorSeen, ...], namespace: str, owner: str) -> SelectorSeen | None:
    return next((s for s in selectors if s.namespace == namespace and f"{s.kind}/{s.name}" == owner), None)
