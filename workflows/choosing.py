"""Which kill-switch a target has.

switch_of(start, Orders(start.incident_id))   # -> HostSwitch or PlatformSwitch
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.response import ContainStart

from workflows.host_switch import HostSwitch
from workflows.orders import Orders
from workflows.platform_switch import PlatformSwitch
from workflows.switches import Switch


def switch_of(start: ContainStart, orders: Orders) -> Switch:
    """A host's own, or its platform's."""
    return HostSwitch(start, orders) if start.target.kind == "host" else PlatformSwitch(start)
