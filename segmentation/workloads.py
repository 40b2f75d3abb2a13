"""Workloads: the things that talk.

Owns labels, addresses and the lookup of a workload by what an alert says of it. Never does I/O.

    inventory = Inventory(workloads=(web, app, db))
    inventory.resolve(names=("web",), addresses=())   # -> (web,)
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, StringConstraints

# RFC 1123 label characters plus dots: what hostnames, machine ids and Kubernetes names all satisfy.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/:@-]{0,253}$")]
WorkloadKind = Literal[
    "host",
    "pod",
    "controller",
    "namespace",
    "node",
    "service-account",
    "ec2-instance",
    "subnet",
    "iam-role",
    "iam-user",
    "s3-bucket",
    "lambda-function",
    "security-group",
    "worker",
]
KUBERNETES_KINDS = frozenset({"pod", "controller", "namespace", "node", "service-account"})
AWS_KINDS = frozenset(
    {"ec2-instance", "subnet", "iam-role", "iam-user", "s3-bucket", "lambda-function", "security-group"}
)


class Frozen(BaseModel):
    """Base of every document that crosses a boundary: immutable, nothing unknown accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClusterRef(Frozen):
    """Where a Kubernetes target is: names as the API server has them."""

    cluster: Name = Field(description="Name of the cluster as its worker serves it.")
    namespace: Annotated[str, StringConstraints(max_length=63)] = Field(default="", description="Empty: cluster-wide.")
    resource: Literal[
        "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Namespace", "Node", "ServiceAccount"
    ]
    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]


class AwsRef(Frozen):
    """Where an AWS target is; the region of what has none is the one its API is called in."""

    account: Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    name: Annotated[str, StringConstraints(min_length=1, max_length=512)] = Field(
        description="Id of an instance, subnet or security group; name of a role, user, bucket or function."
    )


def _is_none(value: object) -> bool:
    return value is None


class Workload(Frozen):
    """What a response may touch: a host, pod or instance that talks, or an identity.

    With its labels and every address it answers on, as far as they are known before it is observed.
    """

    workload_id: Name = Field(description="Stable id: for a host its machine id.")
    kind: WorkloadKind = "host"
    name: Name
    labels: dict[Name, LabelValue] = Field(default_factory=dict)
    addresses: tuple[IPvAnyAddress, ...] = ()
    tcp_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(), description="TCP ports its services listened on when its agent last reported; probes use them."
    )

    kubernetes: ClusterRef | None = Field(default=None, exclude_if=_is_none, description="Of a Kubernetes target.")
    aws: AwsRef | None = Field(default=None, exclude_if=_is_none, description="Of an AWS target.")

    @property
    def queue(self) -> str:
        """Task queue on which orders about this workload are taken: its own agent's, or its platform's worker's."""
        if self.kubernetes is not None:
            return f"kubernetes.{self.kubernetes.cluster}"
        return "aws" if self.aws is not None else f"{self.kind}.{self.workload_id}"


class Inventory(Frozen):
    """The workloads known at one moment."""

    workloads: tuple[Workload, ...] = ()

    def resolve(self, names: Iterable[str], addresses: Iterable[str]) -> tuple[Workload, ...]:
        """Workloads that carry one of the names or ids, or failing that one of the addresses.

        Names win over addresses: an address may be shared or recycled, an id may not. A worker of a platform is in the
        inventory for its key, and never a target.
        """
        targets = tuple(w for w in self.workloads if w.kind != "worker")
        wanted = {name.lower() for name in names if name}
        named = tuple(w for w in targets if {w.name.lower(), w.workload_id.lower()} & wanted)
        if named:
            return named
        found = {ip_address(address) for address in addresses}
        return tuple(w for w in targets if found & set(w.addresses))

    def witnesses_of(self, targets: Iterable[Workload]) -> tuple[Workload, ...]:
        """The hosts with an agent that none of the targets is: who may say what became of them."""
        contained = {target.workload_id for target in targets}
        return tuple(w for w in self.workloads if w.kind == "host" and w.workload_id not in contained)
