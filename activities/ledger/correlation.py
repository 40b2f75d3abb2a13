"""Which workloads an alert accuses, and what ties it to other alerts.

Owns the one reading that intake and dispatcher share, so that the incident's key and the incident's targets
never disagree. Pure.

    correlation_key(alert, inventory)   # -> "workload:4c4c4544..." or "host:unknown-7"
"""

import hashlib

from playbooks.alerts import Alert
from segmentation.workloads import Inventory, Workload


def accused(alert: Alert, inventory: Inventory) -> tuple[Workload, ...]:
    """Workloads that the alert is about.

    An alert that says anything of a host is about that host alone: the source address next to an unknown
    host is no reason to cut off whoever has that address now.
    """
    names = [name for name in (alert.host.id, alert.host.name) if name]
    addresses = [str(address) for address in alert.host.ip]
    if not names and not addresses and alert.source.ip is not None:
        addresses = [str(alert.source.ip)]
    return inventory.resolve(names=names, addresses=addresses)


def correlation_key(alert: Alert, inventory: Inventory) -> str:
    """The workload if the alert names exactly one that we know, else what the alert itself says."""
    workloads = accused(alert, inventory)
    if len(workloads) == 1:
        return f"workload:{workloads[0].workload_id}"
    return without_nul(alert.correlation_key)


def without_nul(text: str) -> str:
    """Text as PostgreSQL can keep it; JSON allows a character that its text type does not."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def incident_id(key: str, ordinal: int) -> str:
    """The id of the n-th incident of a key; derived, so that nobody can make two of one."""
    return "inc-" + hashlib.sha256(f"{key}:{ordinal}".encode()).hexdigest()[:12]
