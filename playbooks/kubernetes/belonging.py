"""What becomes of a pod's place in Services and controllers once its labels change, in words."""

from collections.abc import Iterable, Sequence

from playbooks.kubernetes.draft import Draft, beside, named
from playbooks.kubernetes.marks import QUARANTINE
from playbooks.kubernetes.observation import PodSeen, SelectorSeen
from playbooks.kubernetes.reach import Policies
from playbooks.kubernetes.readings import title
from playbooks.kubernetes.relabel import Relabelled, selected_by

_REPLACES = {"StatefulSet": "can't replace {pods} while it is there, both would have one name"}
_SURPLUS = "; after the release it may end one pod too many, not necessarily the newest"


def told_belonging(selectors: Sequence[SelectorSeen], kinds: Sequence[Relabelled]) -> Draft:
    """What pods leave, and what they are in still."""
    cuts, stays = [], []
    # A Deployment selects its pods too, but it is its ReplicaSet that replaces one.
    owners = {(seen.namespace, seen.owner) for seen in selectors}
    for seen in selectors:
        left = _pods(kind for kind in kinds if kind.leaves(seen))
        still = _pods(kind for kind in kinds if selected_by(kind.after, [seen]))
        name = f"{seen.kind} {seen.namespace}/{seen.name}"
        if left and seen.kind == "Service":
            cuts.append(f"{named(left)}: what {name} sends there")
        elif left and (seen.namespace, f"{seen.kind}/{seen.name}") not in owners:
            stays.append(f"{name} {_REPLACES.get(seen.kind, 'replaces {pods}').format(pods=named(left))}{_SURPLUS}")
        if still and seen.kind == "Service":
            stays.append(f"{name} goes on listing {named(still)}: what it sends there is dropped")
    return beside(stays=stays, cuts=cuts)


def _pods(kinds: Iterable[Relabelled]) -> list[PodSeen]:
    return [pod for kind in kinds for pod in kind.pods]


def owned_still(selectors: Iterable[SelectorSeen], kinds: Iterable[Relabelled]) -> bool:
    """Whether a controller has one of the pods still, and would end it with its others."""
    controllers = [seen for seen in selectors if seen.kind != "Service"]
    return any(selected_by(kind.after, controllers) for kind in kinds)


def label_words(selectors: Iterable[SelectorSeen], policies: Policies, kind: Relabelled) -> str:
    """What the new labels do, and why these. Without the pod's name: pods that are alike share them."""
    gone = sorted(kind.before.labels.keys() - kind.after.labels.keys())
    words = f"label {QUARANTINE}={kind.after.labels[QUARANTINE]}"
    if not gone:
        return words
    there = {title(policy) for policy in policies.selecting(kind.before)}
    there -= {title(policy) for policy in policies.selecting(kind.after)}
    left = [seen for seen in selectors if kind.leaves(seen)]
    out_of = [*sorted(there), *(f"{seen.kind} {seen.namespace}/{seen.name}" for seen in left)]
    return f"{words} and take away {', '.join(gone)}: out of {', '.join(out_of)}"
