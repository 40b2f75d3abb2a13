"""What a Kubernetes target looked like before a change. Pure shapes.

Owns what is observed of a cluster: enough to choose a mechanism, to compute who reaches the pods, and to restore.
Labels and specs are as the API server returned them.
"""

from typing import Literal

from pydantic import Field, IPvAnyAddress, JsonValue

from segmentation.workloads import ClusterRef, Frozen, Name

Labels = dict[str, str]
Held = dict[str, JsonValue]
_NOT_HELD: Held = Field(
    default_factory=dict,
    exclude_if=lambda held: not held,
    description="By attribute: what it was before other containments that hold it, while this one is not among them.",
)


class PodSeen(Frozen):
    """A pod of the target."""

    namespace: str
    name: str
    uid: str
    labels: Labels = Field(default_factory=dict)
    addresses: tuple[IPvAnyAddress, ...] = ()
    host_network: bool = False
    node: str = Field(default="", description="Empty while it is not scheduled.")
    service_account: str = "default"
    controller: str = Field(default="", description="`Kind/name` of its controlling owner; empty: nobody's.")
    held: Held = _NOT_HELD


class PolicySeen(Frozen):
    """A network policy of any kind that could select the target's pods, or stand before those that do."""

    group: str = Field(description="API group, for example `networking.k8s.io`.")
    version: str
    resource: str = Field(description="Plural, for example `networkpolicies`.")
    kind: str
    namespace: str = Field(default="", description="Empty: cluster-wide.")
    name: str
    labels: Labels = Field(default_factory=dict)
    spec: dict[str, JsonValue]


class SelectorSeen(Frozen):
    """A Service or controller and the pods that it selects."""

    kind: Literal["Service", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController"]
    namespace: str
    name: str
    selector: dict[str, JsonValue] = Field(description="Of a Service: labels. Else: matchLabels and matchExpressions.")
    replicas: int | None = None
    owner: str = Field(default="", description="`Kind/name` of its controlling owner.")


class NodeSeen(Frozen):
    """The node that is the target, or that a pod of it runs on."""

    name: str
    labels: Labels = Field(default_factory=dict)
    unschedulable: bool = False
    addresses: tuple[IPvAnyAddress, ...] = ()
    machine_id: str = ""
    held: Held = _NOT_HELD


class BindingSeen(Frozen):
    """A RoleBinding or ClusterRoleBinding that names the service account."""

    kind: Literal["RoleBinding", "ClusterRoleBinding"]
    namespace: str = ""
    name: str
    subjects: tuple[dict[str, JsonValue], ...]


class AccountSeen(Frozen):
    """A service account, what it may and which token Secrets it has.

    One that was deleted and made anew for an incident carries the label `firebreak.dev/incident` with its id.
    """

    namespace: str
    name: str
    uid: str
    labels: Labels = Field(default_factory=dict)
    token_secrets: tuple[str, ...] = ()
    bindings: tuple[BindingSeen, ...] = ()


class ClusterFacts(Frozen):
    """What the cluster has, by API discovery and by its CNI's daemonsets."""

    version: str
    apis: tuple[str, ...] = Field(description="`group/version/plural` of every API that a mechanism could use.")
    cni: tuple[str, ...] = Field(default=(), description="Names of the CNIs whose daemonset runs: cilium, calico, ...")
    mesh: tuple[str, ...] = Field(default=(), description="Meshes whose control plane runs: istio.")
    features: tuple[str, ...] = Field(
        default=(),
        description="What else is there: `cilium-host-firewall`, by `enable-host-firewall` in Cilium's ConfigMap; "
        "`admin-egress-networks`, where the schema of AdminNetworkPolicy has the egress peer `networks`.",
    )


class KubernetesObservation(Frozen):
    """One target in one cluster at one moment."""

    platform: Literal["kubernetes"] = "kubernetes"
    target_id: Name
    reference: ClusterRef
    facts: ClusterFacts
    labels: Labels = Field(default_factory=dict, description="Of the target itself.")
    uid: str = Field(default="", description="Of the target itself.")
    pods: tuple[PodSeen, ...] = ()
    namespaces: dict[str, Labels] = Field(default_factory=dict, description="Every namespace and its labels.")
    policies: tuple[PolicySeen, ...] = Field(
        default=(),
        description="All that could matter; and every object with our incident label in any of `facts.apis`, Calico's "
        "tiers and Istio's authorization policies included: so a second plan sees what the first one made. Of Calico "
        "also every tier, and the host endpoints of a node.",
    )
    selectors: tuple[SelectorSeen, ...] = Field(default=(), description="Services and controllers beside the pods.")
    nodes: tuple[NodeSeen, ...] = ()
    account: AccountSeen | None = None
