"""The policy APIs that a containment may read and write: a closed list.

Owns which groups and resources count. What is not in it is never written, whatever a plan says, and never observed.
"""

NETWORKING, ADMIN, CILIUM, ISTIO = "networking.k8s.io", "policy.networking.k8s.io", "cilium.io", "security.istio.io"
CALICO, CALICO_STORED = "projectcalico.org", "crd.projectcalico.org"

_CALICO_NAMESPACED, _CALICO_WIDE = ("networkpolicies",), ("globalnetworkpolicies", "hostendpoints", "tiers")
# Resources of each group: those in a namespace, and those of the whole cluster.
NAMESPACED: dict[str, tuple[str, ...]] = {
    NETWORKING: ("networkpolicies",),
    CILIUM: ("ciliumnetworkpolicies",),
    CALICO: _CALICO_NAMESPACED,
    CALICO_STORED: _CALICO_NAMESPACED,
    ISTIO: ("authorizationpolicies",),
}
CLUSTER_WIDE: dict[str, tuple[str, ...]] = {
    ADMIN: ("adminnetworkpolicies", "baselineadminnetworkpolicies", "clusternetworkpolicies"),
    CILIUM: ("ciliumclusterwidenetworkpolicies",),
    CALICO: _CALICO_WIDE,
    CALICO_STORED: _CALICO_WIDE,
}
GROUPS = tuple(NAMESPACED | CLUSTER_WIDE)
# A list's items don't say their kind.
KINDS = {
    "networkpolicies": "NetworkPolicy",
    "adminnetworkpolicies": "AdminNetworkPolicy",
    "baselineadminnetworkpolicies": "BaselineAdminNetworkPolicy",
    "clusternetworkpolicies": "ClusterNetworkPolicy",
    "ciliumnetworkpolicies": "CiliumNetworkPolicy",
    "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "hostendpoints": "HostEndpoint",
    "tiers": "Tier",
    "authorizationpolicies": "AuthorizationPolicy",
}


# Read, because they decide; never written.
_ONLY_READ = {
    (ADMIN, "baselineadminnetworkpolicies"),
    (CALICO, "hostendpoints"),
    (CALICO, "networkpolicies"),
    (CALICO, "tier.networkpolicies"),
    (CALICO_STORED, "hostendpoints"),
    (CALICO_STORED, "networkpolicies"),
}


def is_known(group: str, plural: str) -> bool:
    """Whether this is one of them."""
    return plural in _of(group)


def is_written(group: str, plural: str) -> bool:
    """Whether a containment may make one."""
    return is_known(group, plural) and (group, plural) not in _ONLY_READ


def permissions_to_list() -> tuple[str, ...]:
    """What RBAC calls the right to see all of them."""
    return tuple(f"list {plural}.{group}" for group, plural in _in_rbac())


def permissions_to_write() -> tuple[str, ...]:
    """What RBAC calls the right to make and to delete those that are written."""
    written = [found for found in _in_rbac() if found not in _ONLY_READ]
    # Server-side apply is a patch, and a create where nothing is there yet.
    verbs = ("get", "create", "patch", "delete")
    return tuple(f"{verb} {plural}.{group}" for group, plural in written for verb in verbs)


def _in_rbac() -> list[tuple[str, str]]:
    served = [(group, plural) for group in GROUPS for plural in _of(group)]
    # Calico's API server asks for the right to a policy a second time, under its tier's name.
    # https://docs.tigera.io/calico/latest/network-policy/policy-tiers/rbac-tiered-policies
    return [*served, *((CALICO, f"tier.{plural}") for plural in ("networkpolicies", "globalnetworkpolicies"))]


def _of(group: str) -> tuple[str, ...]:
    return (*NAMESPACED.get(group, ()), *CLUSTER_WIDE.get(group, ()))
