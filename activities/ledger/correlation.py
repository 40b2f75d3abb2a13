"""Which workloads an alert accuses, and what ties it to other alerts.

Owns the one reading that intake and dispatcher share, so that the incident's key and the incident's targets
never disagree. Pure.

    correlation_key(alert, inventory)   # -> "workload:4c4c4544..." or "host:unknown-7"
"""

import hashlib

from playbooks.alerts import REQUESTED, Alert
from segmentation.references import ReferenceUnknown, instance, pod, resolve_reference
from segmentation.workloads import Inventory, Workload


def accused(alert: Alert, inventory: Inventory) -> tuple[Workload, ...]:
    """What the alert is about; empty where it names nobody we know, or leaves open whom it means.

    What it lists as targets counts alone. Else the narrowest that it names: a pod before the host that runs it, a host
    with an agent before the instance that it is.
    """
    try:
        if alert.targets:
            return tuple({w.workload_id: w for w in (resolve_reference(t, inventory) for t in alert.targets)}.values())
        if (found := _pod(alert)) is not None:
            return (found,)
        if not _hosts(alert, inventory) and (found := _instance(alert)) is not None:
            return (found,)
    except ReferenceUnknown:
        return ()
    hosts = suspects(alert, inventory)
    return hosts if len(hosts) == 1 else ()


def suspects(alert: Alert, inventory: Inventory) -> tuple[Workload, ...]:
    """Every host that the alert could mean: by what it says of a host, else by its source address."""
    return _hosts(alert, inventory) or _by_source(alert, inventory)


def _pod(alert: Alert) -> Workload | None:
    at = alert.orchestrator
    if at.cluster.name is None or at.namespace is None or at.resource.name is None:
        return None
    return pod(at.cluster.name, at.namespace, at.resource.name)


def _instance(alert: Alert) -> Workload | None:
    at = alert.cloud
    if at.account.id is None or at.region is None or at.instance.id is None:
        return None
    return instance(at.account.id, at.region, at.instance.id)


def _hosts(alert: Alert, inventory: Inventory) -> tuple[Workload, ...]:
    """Hosts that the alert names."""
    names = [name for name in (alert.host.id, alert.host.name) if name]
    return inventory.resolve(names=names, addresses=[str(address) for address in alert.host.ip])


def _by_source(alert: Alert, inventory: Inventory) -> tuple[Workload, ...]:
    """Hosts at the source address, where the alert says nothing of a host.

    The address next to an unknown host is no reason to cut off whoever has that address now.
    """
    if alert.source.ip is None or alert.host.id or alert.host.name or alert.host.ip:
        return ()
    return inventory.resolve(names=(), addresses=(str(alert.source.ip),))


def correlation_key(alert: Alert, inventory: Inventory) -> str:
    """The workload if the alert is about exactly one, the whole of them if it lists more, else what it says itself."""
    workloads = accused(alert, inventory)
    key = f"workload:{workloads[0].workload_id}" if len(workloads) == 1 else without_nul(alert.correlation_key)
    # What a person asks for must not be counted as one more alert of an incident that contains nothing.
    return f"asked:{key}" if alert.rule.name == REQUESTED else key


def without_nul(text: str) -> str:
    """Text as PostgreSQL can keep it; JSON allows a character that its text type does not."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def incident_id(key: str, ordinal: int) -> str:
    """The id of the n-th incident of a key; derived, so that nobody can make two of one."""
    return "inc-" + hashlib.sha256(f"{key}:{ordinal}".encode()).hexdigest()[:12]
