"""AWS as a source of evidence: which collectors there are, and one account opened for one order.

Owns the list of collectors with the permissions of each. Nothing here changes a target; the one collector that makes
something makes snapshots, tagged with their incident. How each reads is in the modules called `evidence_...`.

    open_evidence(sessions, Forensics())(order).collectors["cloudtrail"].collect(task)
"""

from collections.abc import Mapping

import boto3

from activities.aws import (
    evidence_configuration,
    evidence_console,
    evidence_findings,
    evidence_flow_logs,
    evidence_identities,
    evidence_snapshots,
    evidence_trail,
)
from activities.aws.evidence_scene import Forensics, Scene
from activities.aws.observing import place_of
from activities.aws.sessions import AwsSessions
from activities.contracts.evidence import Source
from activities.contracts.platform_evidence import CollectPlatformOrder
from activities.evidence.platforms.collect import OpenEvidence
from activities.evidence.platforms.collecting import Collecting, Opened
from playbooks.forensics import AwsCollector
from segmentation.workloads import AwsRef

COLLECTORS: Mapping[AwsCollector, Collecting[Scene]] = {
    "configuration": Collecting(3, "aws", evidence_configuration.collect, evidence_configuration.PERMISSIONS),
    "console": Collecting(4, "aws", evidence_console.collect, evidence_console.PERMISSIONS),
    "snapshots": Collecting(5, "snapshot", evidence_snapshots.collect, evidence_snapshots.PERMISSIONS),
    "identities": Collecting(6, "aws", evidence_identities.collect, evidence_identities.PERMISSIONS),
    "flow-logs": Collecting(7, "logs", evidence_flow_logs.collect, evidence_flow_logs.PERMISSIONS),
    "cloudtrail": Collecting(7, "logs", evidence_trail.collect, evidence_trail.PERMISSIONS),
    "findings": Collecting(7, "aws", evidence_findings.collect, evidence_findings.PERMISSIONS),
}
PERMISSIONS = frozenset(one for found in COLLECTORS.values() for one in found.permissions)


def open_evidence(sessions: AwsSessions, forensics: Forensics) -> OpenEvidence:
    """Opens the account and region of a target to collect from it, with the incident's own session."""

    def opened(order: CollectPlatformOrder) -> Opened:
        place = place_of(order.target)
        account = sessions.open(order.target, order.incident_id).account
        scene = Scene(account, place, order.target.kind, forensics)
        wanted = {name: found for name, found in COLLECTORS.items() if name in order.aws}
        return Opened(
            source=_source(order, place),
            tool="boto3",
            tool_version=boto3.__version__,
            collectors={name: found.bound(scene) for name, found in wanted.items()},
        )

    return opened


def _source(order: CollectPlatformOrder, place: AwsRef) -> Source:
    return Source(
        kind="aws",
        resource_id=order.target.workload_id,
        host=order.target.name,
        provider="aws",
        account=place.account,
        region=place.region,
        reference=f"{order.target.kind}/{place.name}",
    )
