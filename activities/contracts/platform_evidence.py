"""Evidence of what is on a platform: the input and the result of its collection.

Pure shapes. Collecting is in `activities.evidence.platforms`, what is read in the folders of the platforms.
"""

from datetime import datetime

from pydantic import Field, IPvAnyAddress

from activities.contracts.collecting import Collected
from playbooks.forensics import AwsCollector, KubernetesCollector
from segmentation.bounds import Line
from segmentation.workloads import Frozen, Name, Workload

# A namespace may have more: its document names them all, the workflow goes by the first.
MAX_NODES, MAX_PODS = 64, 64


def _is_empty(value: object) -> bool:
    return not value


class CollectPlatformOrder(Frozen):
    """collect_from_platform: what a cluster or an account knows of a target, each as one item."""

    incident_id: Name
    target: Workload
    kubernetes: tuple[KubernetesCollector, ...] = ()
    aws: tuple[AwsCollector, ...] = ()
    since: datetime = Field(description="Beginning of the time of interest: events, logs, trails.")
    budget_seconds: int


def evidence_queue(target: Workload) -> str:
    """Where orders to collect from a platform's target are taken: not where it is contained, which must not wait."""
    return f"{target.queue}.evidence"


class PodsOfNode(Frozen):
    """Pods of a target that run on one node: whose packets its host can capture, if it has an agent."""

    node: Name
    pods: tuple[Line, ...] = Field(max_length=MAX_PODS, description="`namespace/name`.")
    addresses: tuple[IPvAnyAddress, ...] = Field(default=(), max_length=MAX_PODS)


class PlatformCollected(Collected):
    """The items of a platform's target, and on which nodes its packets can be captured."""

    nodes: tuple[PodsOfNode, ...] = Field(default=(), max_length=MAX_NODES, exclude_if=_is_empty)
