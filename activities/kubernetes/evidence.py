"""Kubernetes as a source of evidence: which collectors there are, and one cluster opened for one order.

Owns the list of collectors with the permissions of each. Read-only: nothing here changes anything in a cluster. How
each reads is in the modules called `evidence_...`.

    open_evidence({"prod": open_cluster(None)})(order).collectors["logs"].collect(task)
"""

from collections.abc import Mapping
from importlib.metadata import version

from kubernetes.client import ApiClient

from activities.contracts.evidence import Source
from activities.contracts.platform_evidence import CollectPlatformOrder
from activities.evidence.platforms.collect import OpenEvidence
from activities.evidence.platforms.collecting import Collecting, Opened
from activities.killswitch.platform import TargetUnknown
from activities.kubernetes import (
    evidence_events,
    evidence_images,
    evidence_logs,
    evidence_nodes,
    evidence_objects,
    evidence_rbac,
)
from activities.kubernetes.calls import Calls
from activities.kubernetes.evidence_scene import READING, Scene
from playbooks.forensics import KubernetesCollector
from segmentation.workloads import ClusterRef

COLLECTORS: Mapping[KubernetesCollector, Collecting[Scene]] = {
    "node-capture": Collecting(1, "kubernetes", evidence_nodes.collect, evidence_nodes.PERMISSIONS),
    "objects": Collecting(3, "kubernetes", evidence_objects.collect, evidence_objects.PERMISSIONS),
    # The API server forgets events after an hour, and a node a container's log with its second restart.
    "events": Collecting(3, "kubernetes", evidence_events.collect, evidence_events.PERMISSIONS),
    "logs": Collecting(3, "logs", evidence_logs.collect, evidence_logs.PERMISSIONS),
    "images": Collecting(4, "kubernetes", evidence_images.collect, evidence_images.PERMISSIONS),
    "rbac": Collecting(6, "kubernetes", evidence_rbac.collect, evidence_rbac.PERMISSIONS),
}
PERMISSIONS = frozenset((*READING, *(one for found in COLLECTORS.values() for one in found.permissions)))


def open_evidence(clusters: Mapping[str, ApiClient]) -> OpenEvidence:
    """Opens one of these clusters to collect from it."""
    served = {name: Calls(client, name) for name, client in clusters.items()}

    def opened(order: CollectPlatformOrder) -> Opened:
        reference = order.target.kubernetes
        if reference is None or reference.cluster not in served:
            raise TargetUnknown(
                f"{order.target.name} is in no cluster that this worker serves.",
                hint=f"It serves {', '.join(sorted(served)) or 'none'}.",
            )
        calls = served[reference.cluster]
        scene = Scene.of(calls, reference, order.incident_id)
        wanted = {name: found for name, found in COLLECTORS.items() if name in order.kubernetes}
        return Opened(
            source=_source(order, reference),
            tool="kubernetes client",
            tool_version=version("kubernetes"),
            collectors={name: found.bound(scene) for name, found in wanted.items()},
        )

    return opened


def _source(order: CollectPlatformOrder, reference: ClusterRef) -> Source:
    parts = (reference.namespace, reference.resource.lower(), reference.name)
    return Source(
        kind="kubernetes",
        resource_id=order.target.workload_id,
        host=order.target.name,
        provider=reference.cluster,
        reference="/".join(filter(None, parts)),
    )
