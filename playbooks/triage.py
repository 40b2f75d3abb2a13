"""Triage: may this target be contained at once, or do people decide first? Pure.

Owns the safety rules before a containment: unsigned sources, protected targets, blast radius. Never contacts
anything.

    route = choose_route(playbook, target, targets=1, signed=True, corroborated=None)
    route.gate      # None: at once
"""

from typing import Literal

from playbooks.gates import GateSpec
from playbooks.playbook import Playbook
from segmentation.workloads import Frozen, Workload

BREAK_GLASS = GateSpec(quorum=1, roles=("break-glass",), deadline_seconds=3600)
PEOPLE = GateSpec(quorum=1, roles=("approver", "admin"), deadline_seconds=3600)


class Route(Frozen):
    """How a containment goes ahead, and why."""

    way: Literal["at-once", "corroborate-first", "people-decide"]
    gate: GateSpec | None = None
    reason: str = ""


def protection(playbook: Playbook, target: Workload) -> str:
    """The label that protects a target, as `key=value`; empty if none does."""
    for key, values in sorted(playbook.contain.protected.items()):
        if target.labels.get(key) in values:
            return f"{key}={target.labels[key]}"
    return ""


def choose_route(
    playbook: Playbook, target: Workload, *, targets: int, signed: bool, corroborated: bool | None
) -> Route:
    """The way for one target. `corroborated` None: the SIEM was not asked or could not answer."""
    contain = playbook.contain
    if label := protection(playbook, target):
        return Route(way="people-decide", gate=BREAK_GLASS, reason=f"{target.name} is protected ({label})")
    if targets > contain.max_targets:
        reason = f"{targets} targets are more than the playbook's limit of {contain.max_targets}"
        return Route(way="people-decide", gate=contain.gate or PEOPLE, reason=reason)
    if contain.gate is not None:
        return Route(way="people-decide", gate=contain.gate, reason=f"playbook {playbook.name} asks people")
    if (signed and not contain.corroborate) or corroborated:
        return Route(way="at-once", reason="the playbook allows it")
    if corroborated is None:
        return Route(way="corroborate-first", gate=PEOPLE, reason="the message needs corroboration by the SIEM")
    return Route(way="people-decide", gate=PEOPLE, reason="the SIEM does not hold the events that the alert claims")
