"""What a response wants of a target on a platform. Pure.

Owns the options of a playbook's `contain.kubernetes` and `contain.aws`, the intent made of them for one incident, its
mark on what is made, and the refusal of what another incident has marked.
Planning is in `playbooks.kubernetes` and `playbooks.aws`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, IPvAnyNetwork

from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Name

Mechanism = Literal["auto", "admin-network-policy", "cilium", "calico", "network-policy"]


class TargetHeld(FirebreakError):
    """Another incident contains this target already."""

    code: ClassVar[str] = "target-held"


class KubernetesSpec(Frozen):
    """How Kubernetes targets are contained."""

    mechanism: Mechanism = Field(default="auto", description="`auto`: the strongest that the cluster has.")
    remove_from_services: bool = Field(default=True, description="Take pods out of every Service that selects them.")
    cordon: bool = Field(default=False, description="Keep new pods off the node of a contained pod.")
    scale_to_zero: bool = Field(default=False, description="End the pods of a contained controller; ends evidence too.")
    revoke_tokens: bool = Field(
        default=False, description="Make every token of a contained pod's service account worthless."
    )


class AwsSpec(Frozen):
    """How AWS targets are contained."""

    two_step: bool = Field(
        default=False,
        description="First a group that allows all, so that tracked connections are cut too. Opens it for a moment.",
    )
    detach: bool = Field(default=True, description="Out of Auto Scaling groups and load balancers before the cut.")
    protect: bool = Field(default=True, description="Termination protection on, volumes kept on termination.")
    snapshot: bool = Field(default=False, description="Begin a snapshot of every volume before the cut.")
    profile: Literal["keep", "revoke-sessions", "detach"] = Field(
        default="revoke-sessions", description="What becomes of the instance profile and the sessions of its role."
    )
    role: Literal["revoke-sessions", "quarantine"] = Field(
        default="revoke-sessions",
        description="A role: deny the sessions it has, or deny everything and close its trust.",
    )
    login_profile: Literal["keep", "delete"] = Field(
        default="keep", description="A user's console password; a deleted one can't be restored."
    )
    peers: tuple[IPvAnyNetwork, ...] = Field(
        default=(), max_length=8, description="Of a subnet: addresses that its network ACL denies."
    )
    ports: tuple[Annotated[int, Field(ge=0, le=65535)], ...] = Field(
        default=(22, 3389), description="Of a security group: ports whose rules open to everybody are revoked."
    )


class PlatformIntent(Frozen):
    """What one incident wants of one target."""

    incident_id: Name
    target_id: Name
    at: AwareDatetime = Field(description="When it was wanted, by the workflow's clock.")
    lease_seconds: int = Field(ge=1, le=30 * 86400)
    ends: Literal["open", "closed"]
    kubernetes: KubernetesSpec = KubernetesSpec()
    aws: AwsSpec = AwsSpec()


def mark(incident_id: str) -> str:
    """The name of our own objects for an incident: derived, never random, so that a retry finds its own work."""
    return f"firebreak-{incident_id.lower()}"
