"""Who reaches a pod and whom it reaches, by every policy that selects it.

Owns the order in which stages are asked, and the comparison by which a change never opens more than what stood before.
It errs toward open: a denial of a part is noted and takes nothing away, and what can't be read is named, never guessed.
What peers' own policies let through is not asked: a flow needs both ends, and this is the target's.

    before = Policies(observation.policies, observation.namespaces).reach(pod)
    before.ingress.passages     # -> (Passage(policy="NetworkPolicy shop/allow-web", words="from ... on TCP 80"),)
    more_open(before, after)    # -> False
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from playbooks.kubernetes import admin_policies, calico_policies, cilium_policies, network_policies
from playbooks.kubernetes.observation import Labels, PodSeen, PolicySeen
from playbooks.kubernetes.readings import (
    ALL_SIDES,
    DIRECTIONS,
    NO_SIDES,
    Direction,
    Question,
    Reading,
    Rule,
    Sides,
    Surroundings,
    Unread,
    title,
)
from playbooks.kubernetes.selectors import SelectorUnknown

# What no policy restricts.
NOBODY = "no policy"
Alike = tuple[str, str, frozenset[tuple[str, str]]]
Said = tuple[tuple[PolicySeen, Reading | Unread], ...]
_READ_ELSEWHERE = frozenset({"tiers", "hostendpoints", "authorizationpolicies"})


def alike(pod: PodSeen) -> Alike:
    """What pods have in common that no policy can tell apart. Of thousands of pods there are a few kinds."""
    return pod.namespace, pod.service_account, frozenset(pod.labels.items())


@dataclass(frozen=True)
class Passage:
    """What one policy lets through; `whole`: on the sides where it is everything."""

    policy: str
    sides: Sides
    whole: Sides
    words: str


@dataclass(frozen=True)
class Lane:
    """One direction of a pod: what is let through, less what is denied in part, and what can't be told."""

    passages: tuple[Passage, ...]
    denials: frozenset[tuple[str, str]] = frozenset()
    unknown: frozenset[Unread] = frozenset()

    @property
    def closed(self) -> bool:
        """Whether nothing gets through, as far as everything could be read."""
        return not self.passages and not self.unknown


@dataclass(frozen=True)
class Reach:
    """Both directions of a pod."""

    ingress: Lane
    egress: Lane

    def lane(self, direction: Direction) -> Lane:
        """One of the two."""
        return self.ingress if direction == "ingress" else self.egress


@dataclass(frozen=True)
class Policies:
    """Every policy of a cluster at one moment."""

    policies: tuple[PolicySeen, ...]
    namespaces: Mapping[str, Labels]
    _said: dict[tuple[Alike, Direction], Said] = field(default_factory=dict, compare=False, repr=False)

    def reach(self, pod: PodSeen) -> Reach:
        """Who reaches the pod and whom it reaches."""
        return Reach(*(self._lane(pod, direction) for direction in DIRECTIONS))

    def selecting(self, pod: PodSeen) -> tuple[PolicySeen, ...]:
        """Every policy that applies to the pod in any direction, or of which that can't be told."""
        found = (policy for direction in DIRECTIONS for policy, _ in self._read(pod, direction))
        return tuple({title(policy): policy for policy in found}.values())

    def _read(self, pod: PodSeen, direction: Direction) -> Said:
        """Every policy that applies to the pod in a direction, and what it says; asked once for pods that are alike."""
        key = (alike(pod), direction)
        if key not in self._said:
            around = Surroundings(self.namespaces, calico_policies.tiers(self.policies))
            near = (policy for policy in self.policies if policy.namespace in ("", pod.namespace))
            questions = (Question(policy, pod, direction, around) for policy in near)
            self._said[key] = tuple((asked.policy, found) for asked in questions for found in _read(asked))
        return self._said[key]

    def _lane(self, pod: PodSeen, direction: Direction) -> Lane:
        found = [said for _, said in self._read(pod, direction)]
        read = sorted((r for r in found if isinstance(r, Reading)), key=lambda r: (r.stage, r.order, r.policy))
        unknown = frozenset(r for r in found if isinstance(r, Unread))
        passages: list[Passage] = []
        denials: set[tuple[str, str]] = set()
        live = ALL_SIDES
        for _, stage in groupby(read, key=lambda reading: reading.stage):
            live = _through(list(stage), live, passages, denials)
        if live:
            passages.append(Passage(NOBODY, live, live, "anything: no policy selects it"))
        return Lane(tuple(dict.fromkeys(passages)), frozenset(denials), unknown)


def _read(question: Question) -> Iterable[Reading | Unread]:
    try:
        return [found for found in _by_kind(question) if found is not None]
    except SelectorUnknown as error:
        return [Unread(title(question.policy), error.summary)]


def _by_kind(question: Question) -> Iterable[Reading | Unread | None]:
    policy = question.policy
    if policy.resource in _READ_ELSEWHERE or policy.resource.startswith("staged"):
        return ()
    if policy.group == cilium_policies.GROUP:
        return cilium_policies.read(question)
    if policy.group == network_policies.GROUP:
        return (network_policies.read(question),)
    if policy.group == admin_policies.GROUP:
        return (admin_policies.read(question),)
    if policy.group in calico_policies.GROUPS:
        return (calico_policies.read(question),)
    return (Unread(title(policy), f"policies of {policy.group} are not interpreted"),)


def _through(stage: list[Reading], live: Sides, passages: list[Passage], denials: set[tuple[str, str]]) -> Sides:
    """What goes on to the next stage, while what this one lets through is added to the passages."""
    here, onward = live, NO_SIDES
    for reading in stage:
        for rule in reading.rules:
            touched = rule.sides & here
            if not touched:
                continue
            if rule.action == "allow":
                passages.append(Passage(reading.policy, touched, rule.whole & touched, rule.words))
            elif rule.action == "pass":
                onward |= touched
                here -= rule.whole
            else:
                here -= rule.whole
                denials |= _partly(reading, rule, here)
    closing = {reading.policy for reading in stage if reading.closes}
    if onward:
        denials |= {(policy, "what its tier does not pass on") for policy in closing}
    return onward | (NO_SIDES if closing else here)


def _partly(reading: Reading, rule: Rule, left: Sides) -> set[tuple[str, str]]:
    return {(reading.policy, rule.words)} if rule.sides & left else set()


def more_open(before: Reach, after: Reach) -> bool:
    """Whether anything gets through afterwards that did not before, or of which that can't be excluded."""
    return any(_more_open(before.lane(direction), after.lane(direction)) for direction in DIRECTIONS)


def _more_open(before: Lane, after: Lane) -> bool:
    if after.unknown - before.unknown:
        return True
    if not after.passages:
        return False
    # A denial or an unread policy that does not apply any more may have kept out what is still let through.
    if before.denials - after.denials or before.unknown - after.unknown:
        return True
    return not all(_covered(passage, side, before) for passage in after.passages for side in passage.sides)


def _covered(passage: Passage, side: str, before: Lane) -> bool:
    return any(
        side in was.sides and (side in was.whole or (was.policy, was.words) == (passage.policy, passage.words))
        for was in before.passages
    )
