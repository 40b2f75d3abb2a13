"""What an incident wants of each of its targets.

Owns how the alert and the playbook become an intent. Pure.

    intent_of(start, playbook, target, workflow.now())   # -> IsolationIntent of a host, PlatformIntent of anything else
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import IncidentStart
    from playbooks.host_isolation import IsolationIntent
    from playbooks.isolation_modes import for_alert
    from playbooks.platform_intent import PlatformIntent
    from playbooks.playbook import Playbook
    from segmentation.workloads import Workload


def intent_of(
    start: IncidentStart, playbook: Playbook, target: Workload, now: datetime
) -> IsolationIntent | PlatformIntent:
    """What is wanted of one target."""
    contain = playbook.contain
    if target.kind != "host":
        return PlatformIntent(
            incident_id=start.incident_id,
            target_id=target.workload_id,
            at=now,
            lease_seconds=contain.lease.ttl_seconds,
            ends=contain.lease.ends,
            kubernetes=contain.kubernetes,
            aws=contain.aws,
        )
    return IsolationIntent(
        incident_id=start.incident_id,
        host_id=target.workload_id,
        lifeline=start.lifeline,
        lease_seconds=contain.lease.ttl_seconds,
        ends=contain.lease.ends,
        log_group=start.log_group,
        mode=for_alert(contain.mode, _destination(start), target.addresses),
    )


def _destination(start: IncidentStart) -> tuple[IPv4Address | IPv6Address, ...]:
    """Where the alert says it went: every address of a host that is known, or it would be gone round by another."""
    named = start.alerts.first.alert.destination.ip
    known = (w.addresses for w in (*start.targets, *start.witnesses) if named in w.addresses)
    return next(known, ()) or ((named,) if named is not None else ())
