"""Triage: may this target be contained at once, or do people decide first? Pure.

Owns the safety rules before a containment: unsigned sources, protected targets, blast radius, and what restrains
everything automatic. Never contacts anything.

    route = choose_route(playbook, target, targets=1, signed=True, corroborated=None)
    route.gate      # None: at once
"""

from typing import Literal

from playbooks.gates import GateSpec
from playbooks.playbook import Playbook
from playbooks.safeguards import Safeguards, protection
from segmentation.workloads import Frozen, Workload

BREAK_GLASS = GateSpec(quorum=1, roles=("break-glass",), deadline_seconds=3600)
PEOPLE = GateSpec(quorum=1, roles=("approver", "admin"), deadline_seconds=3600)
PLAYBOOK_ALONE = Safeguards()


class Route(Frozen):
    """How a containment goes ahead, and why."""

    way: Literal["at-once", "corroborate-first", "people-decide"]
    gate: GateSpec | None = None
    reason: str = ""

    @property
    def may_be_automatic(self) -> bool:
        """Whether it can come to a containment that nobody has approved."""
        return self.way != "people-decide" or (self.gate is not None and self.gate.proceeds)


def choose_route(  # noqa: PLR0913 - each is one thing that speaks for or against
    playbook: Playbook,
    target: Workload,
    *,
    targets: int,
    signed: bool,
    corroborated: bool | None,
    restraint: str = "",
    safeguards: Safeguards = PLAYBOOK_ALONE,
) -> Route:
    """The way for one target.

    `corroborated` None: the SIEM was not asked or could not answer. `restraint`: why nothing may be contained without
    people (a limit, the global stop); silence does not open a gate then, whatever the playbook says. `safeguards`: the
    site's, for what it protects beyond the playbook.
    """
    contain = playbook.contain
    if why := protection(safeguards, contain, target):
        return Route(way="people-decide", gate=BREAK_GLASS, reason=f"{target.name} is protected ({why})")
    if restraint:
        gate = (contain.gate or PEOPLE).answered_by_people_alone
        return Route(way="people-decide", gate=gate, reason=restraint)
    if reason := _asks_people(playbook, targets):
        return Route(way="people-decide", gate=contain.gate or PEOPLE, reason=reason)
    if (signed and not contain.corroborate) or corroborated:
        return Route(way="at-once", reason="the playbook allows it")
    if corroborated is None:
        return Route(way="corroborate-first", gate=PEOPLE, reason="the message needs corroboration by the SIEM")
    return Route(way="people-decide", gate=PEOPLE, reason="the SIEM does not hold the events that the alert claims")


def _asks_people(playbook: Playbook, targets: int) -> str:
    if targets > playbook.contain.max_targets:
        return f"{targets} targets are more than the playbook's limit of {playbook.contain.max_targets}"
    return f"playbook {playbook.name} asks people" if playbook.contain.gate is not None else ""
