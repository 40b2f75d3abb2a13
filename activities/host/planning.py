"""The plan of an isolation as this host makes it: the same pure plan as in the workflow, from what is here now.

Owns the refusal of an order whose approved plan is not the plan for this host as it is. Never applies it.

    change = plan_here(order, seen)      # raises PlanStale, OtherModeStands
"""

from typing import ClassVar

from activities.contracts.host import IsolateOrder
from activities.host.observe import Seen
from playbooks.host_isolation import HostChange, other_mode_stands, plan_isolation, refit, table_name
from playbooks.isolation_modes import IsolateAll
from playbooks.nftables import NftCommand
from segmentation.errors import FirebreakError


class PlanStale(FirebreakError):
    """The host is no longer what the plan was made for."""

    code: ClassVar[str] = "plan-stale"


class OtherModeStands(FirebreakError):
    """The incident holds the host in another mode; taking its rules away could open what they cut."""

    code: ClassVar[str] = "other-mode-stands"


def plan_here(order: IsolateOrder, seen: Seen) -> HostChange:
    """The full change, also where it stands already: an expired or damaged table is loaded anew.

    Raises:
        PlanStale: it is not the plan that was approved.
        OtherModeStands: a narrower mode would replace another one.
    """
    intent, observation = order.intent, seen.observation
    # Widening to isolate-all cuts at least what stood; anything else might open something.
    if other_mode_stands(observation, intent) and not isinstance(intent.mode, IsolateAll):
        raise OtherModeStands(
            f"{intent.host_id} is held in another mode than {intent.mode.kind} by {intent.incident_id}.",
            hint="Release it first, or isolate all.",
        )
    change = plan_isolation(observation.without(table_name(intent.incident_id)), intent)
    approved = {order.change.plan_hash} if order.change else set()
    approved |= {order.header.plan_hash} if order.header.plan_hash else set()
    if approved and approved not in _matching(order, seen, change):
        raise PlanStale(
            f"The plan for {intent.host_id} is now {change.plan_hash}, approved was {' and '.join(sorted(approved))}.",
            hint="Devices or the lifeline changed since: observe again and decide on the new plan.",
        )
    return change


def _matching(order: IsolateOrder, seen: Seen, change: HostChange) -> tuple[set[str], ...]:
    """Where it all stands already, the approved plan may also be the one that has nothing left to do."""
    nothing_left = plan_isolation(seen.observation, order.intent)
    if nothing_left.empty and seen.ruleset.holds(change):
        return ({change.plan_hash}, {nothing_left.plan_hash})
    return ({change.plan_hash},)


def same_rules(one: HostChange, other: HostChange) -> bool:
    """Whether two changes differ in lease and devices at most; reading back counts rules and can't tell."""
    return _rules(refit(one, other.devices)) == _rules(other)


def _rules(change: HostChange) -> list[NftCommand]:
    return [command for command in change.commands if "rule" in command.get("add", {})]
