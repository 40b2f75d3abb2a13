"""Which mechanism cuts pods off: the strongest that the cluster has, or the one that the playbook asks for.

Owns the choice and its reason in words. An API that is served proves little: that a CNI acts on it, a probe tells.

    choose(facts, "auto")   # -> Choice(mechanism="cilium", why="Cilium runs and its denials beat every permission ...")
"""

from typing import Literal

from playbooks.kubernetes.errors import MechanismMissing
from playbooks.kubernetes.observation import ClusterFacts
from playbooks.platform_intent import Mechanism
from segmentation.workloads import Frozen

Chosen = Literal["admin-network-policy", "cilium", "calico", "network-policy"]
STRONGEST_FIRST: tuple[Chosen, ...] = ("admin-network-policy", "cilium", "calico", "network-policy")
# Of AdminNetworkPolicy, since its version 0.1.2: egress rules name addresses.
ADDRESSES = "admin-egress-networks"
# A beta outranks any alpha; of two alphas the later one.
_VERSIONS = ("v1", "v3", "v2", "v1beta1", "v1alpha2", "v1alpha1")
# Newest first: what follows is served by the clusters of the years before.
_ADMIN = (("policy.networking.k8s.io", "clusternetworkpolicies"), ("policy.networking.k8s.io", "adminnetworkpolicies"))
_CILIUM = (("cilium.io", "ciliumnetworkpolicies"),)
# Behind the first is Calico's API server, which validates; the second is what it stores.
_CALICO = (("projectcalico.org", "globalnetworkpolicies"), ("crd.projectcalico.org", "globalnetworkpolicies"))
_APIS: dict[Chosen, tuple[tuple[str, str], ...]] = {
    "admin-network-policy": _ADMIN,
    "cilium": _CILIUM,
    "calico": _CALICO,
    "network-policy": (("networking.k8s.io", "networkpolicies"),),
}
_WHY: dict[Chosen, str] = {
    "admin-network-policy": "the cluster serves {api}, whose denials stand before every NetworkPolicy",
    "cilium": "Cilium runs and serves {api}, whose denials beat every permission",
    "calico": "Calico runs and serves {api}, and a tier ordered first decides before every other policy",
    "network-policy": "it has nothing stronger, and permissions add up: pods are relabelled out of the other policies",
}


class Api(Frozen):
    """One resource of one version of one API group."""

    group: str
    version: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}"


class Choice(Frozen):
    """A mechanism, the API that it uses and why it was chosen."""

    mechanism: Chosen
    api: Api
    why: str


def choose(facts: ClusterFacts, wanted: Mechanism) -> Choice:
    """The mechanism for a cluster.

    Raises:
        MechanismMissing: the one that is asked for is not there; says what is.
    """
    there = available(facts)
    if wanted == "auto":
        return there[0]
    found = next((choice for choice in there if choice.mechanism == wanted), None)
    if found is None:
        raise MechanismMissing(
            f"The cluster does not have {wanted}; it has {', '.join(c.mechanism for c in there)}"
            f" (CNI: {', '.join(facts.cni) or 'none seen'}).",
            hint="Ask for one of these, or for `auto`, in the playbook's `contain.kubernetes.mechanism`.",
        )
    why = "the playbook asks for it" + (f"; {there[0].mechanism} would be stronger" if found != there[0] else "")
    return found.model_copy(update={"why": why})


def available(facts: ClusterFacts) -> tuple[Choice, ...]:
    """Every mechanism that the cluster has, strongest first; the last is always plain NetworkPolicy."""
    found = []
    for mechanism in STRONGEST_FIRST:
        api = _api(facts, mechanism)
        if api is not None:
            found.append(Choice(mechanism=mechanism, api=api, why=_WHY[mechanism].format(api=api)))
    return tuple(found)


def api_of(facts: ClusterFacts, group: str, plural: str) -> Api | None:
    """The best version in which the cluster serves a resource."""
    served = [api.split("/") for api in facts.apis if api.startswith(f"{group}/") and api.endswith(f"/{plural}")]
    versions = sorted((version for _, version, _ in served), key=_rank)
    return Api(group=group, version=versions[0], plural=plural) if versions else None


def _api(facts: ClusterFacts, mechanism: Chosen) -> Api | None:
    # Definitions outlive the CNI that brought them: without its daemonset nobody acts on them.
    if mechanism in ("cilium", "calico") and mechanism not in facts.cni:
        return None
    if mechanism == "network-policy":
        # Part of every API server since 1.8, and so not necessarily listed.
        return Api(group="networking.k8s.io", version="v1", plural="networkpolicies")
    # Its first form, of 2023, names peers in another way and no address at all: a later mechanism cuts more.
    usable = [one for one in _APIS[mechanism] if one[1] != "adminnetworkpolicies" or ADDRESSES in facts.features]
    found = (api_of(facts, group, plural) for group, plural in usable)
    return next((api for api in found if api is not None), None)


def _rank(version: str) -> int:
    return _VERSIONS.index(version) if version in _VERSIONS else len(_VERSIONS)
