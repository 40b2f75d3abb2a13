"""The resource definitions of policies, as the makers of the add-ons publish them, and no others: they take time.

Calico publishes its own in no module: where no folder of them is named, a definition without a schema stands in for
each. That holds us to names and scopes, and not to Calico's validation.
"""

from pathlib import Path

import yaml

from lab import cluster_parts
from lab.cluster import Cluster
from lab.cluster_objects import Manifest, install_definitions, read_manifests
from lab.cluster_parts import AddOn, ClusterUnavailableError

_WANTED: dict[AddOn, str] = {
    "cilium": "networkpolicies.cilium.io",
    "istio": "authorizationpolicies.security.istio.io",
    "policy-api": "networkpolicies.policy.networking.k8s.io",
}
_CALICO = {
    "networkpolicies": "NetworkPolicy",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "hostendpoints": "HostEndpoint",
    "tiers": "Tier",
}


def install(cluster: Cluster, folder: Path) -> None:
    """Every definition of a policy; `folder` is where what stands in is written."""
    wanted = [_picked(folder, add_on, ending) for add_on, ending in _WANTED.items()]
    try:
        wanted += cluster_parts.definitions("calico")
    except ClusterUnavailableError:
        wanted += [_stand_in(folder, plural, kind) for plural, kind in _CALICO.items()]
    install_definitions(cluster.admin, wanted)


def _picked(folder: Path, add_on: AddOn, ending: str) -> Path:
    found = [
        one for one in read_manifests(cluster_parts.definitions(add_on)) if one["metadata"]["name"].endswith(ending)
    ]
    return _written(folder / f"{add_on}.yaml", found)


def _stand_in(folder: Path, plural: str, kind: str) -> Path:
    group = "crd.projectcalico.org"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if plural == "networkpolicies" else "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    return _written(folder / f"{plural}.yaml", [definition])


def _written(path: Path, definitions: list[Manifest]) -> Path:
    path.write_text(yaml.safe_dump_all(definitions), encoding="utf-8")
    return path
