"""What a change does to the reach of pods, in words: what it cuts, and what gets through still.

Owns the wording. Pods of which the same is to be said are named together.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from playbooks.kubernetes.draft import Draft, beside, named
from playbooks.kubernetes.observation import PodSeen
from playbooks.kubernetes.reach import Lane, Passage, Reach
from playbooks.kubernetes.readings import DIRECTIONS, OUTSIDE, PODS

_ON = {PODS: " (with pods)", OUTSIDE: " (with nodes, pods on a host's network and beyond the cluster)"}


@dataclass(frozen=True)
class Difference:
    """Pods that are alike, before and after."""

    pods: tuple[PodSeen, ...]
    before: Reach
    after: Reach


def told(differences: Iterable[Difference], advice: str) -> Draft:
    """Both in words. `advice`: what could cut what gets through still."""
    found = tuple(differences)
    return beside(
        cuts=_grouped(found, _cuts, "{who}: {what}"), cannot=_grouped(found, _left, f"{{who}}: {{what}}; {advice}")
    )


def _grouped(
    differences: tuple[Difference, ...], say: Callable[[Difference], Iterator[str]], words: str
) -> tuple[str, ...]:
    of_whom: dict[str, list[PodSeen]] = {}
    for difference in differences:
        for what in say(difference):
            of_whom.setdefault(what, []).extend(difference.pods)
    return tuple(words.format(who=named(pods), what=what) for what, pods in of_whom.items())


def _cuts(difference: Difference) -> Iterator[str]:
    for direction in DIRECTIONS:
        before, after = difference.before.lane(direction), difference.after.lane(direction)
        for passage in before.passages:
            lost = passage.sides - _still(passage, after)
            if lost:
                yield f"{direction} {passage.words}{_ON.get(lost, '')}, let through by {passage.policy}"


def _still(passage: Passage, after: Lane) -> frozenset[str]:
    same = (p.sides for p in after.passages if (p.policy, p.words) == (passage.policy, passage.words))
    return frozenset[str]().union(*same)


def _left(difference: Difference) -> Iterator[str]:
    for direction in DIRECTIONS:
        lane = difference.after.lane(direction)
        for passage in lane.passages:
            yield f"{direction} {passage.words}{_ON.get(passage.sides, '')}: {passage.policy} lets it through"
        for unread in sorted(lane.unknown, key=lambda u: u.policy):
            yield f"{direction}: what {unread.policy} lets through is not known: {unread.reason}"
