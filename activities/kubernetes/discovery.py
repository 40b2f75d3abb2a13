"""What a cluster has: its version, the policy APIs it serves, the CNI and mesh that run in it.

Owns asking for it, and remembering it for a minute: it changes with an installation, not with an incident.

    Discovery(calls).known().facts.apis   # -> ("networking.k8s.io/v1/networkpolicies", "cilium.io/v2/...", ...)
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import structlog

from activities.kubernetes import apis
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.places import CONTROLLERS, Api, Place
from playbooks.kubernetes.observation import ClusterFacts

log = structlog.get_logger(__name__)
FRESH_SECONDS = 60.0
# One request instead of one per group, since Kubernetes 1.26; the last form is what older servers answer.
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_ACCEPT = ",".join([_AGGREGATED.format("v2"), _AGGREGATED.format("v2beta1"), "application/json"])
# The daemonset that enforces policies, and where it is installed: of the same name elsewhere it is somebody's own.
_CNI = {"cilium": "cilium", "calico-node": "calico", "antrea-agent": "antrea", "kube-flannel-ds": "flannel"}
_CNI_NAMESPACES = frozenset({"kube-system", "calico-system", "cilium", "cilium-system", "kube-flannel"})
_CILIUM_CONFIG = "cilium-config"
_CONFIG_MAPS = Api("", "v1", "configmaps")
PERMISSIONS = (
    Place(CONTROLLERS["DaemonSet"]).permission("list"),
    Place(CONTROLLERS["Deployment"]).permission("list"),
    Place(_CONFIG_MAPS).permission("get"),
)


@dataclass(frozen=True)
class Known:
    """What was found, and when by the monotonic clock."""

    facts: ClusterFacts
    mesh_namespaces: tuple[str, ...]
    at: float

    @property
    def apis(self) -> tuple[Api, ...]:
        """Every policy API that is served, each in the version the server prefers."""
        first: dict[tuple[str, str], Api] = {}
        for text in self.facts.apis:
            group, version, plural = text.split("/")
            first.setdefault((group, plural), Api(group, version, plural))
        return tuple(first.values())


class Discovery:
    """One cluster's facts, asked for once a minute however many targets want them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: Known | None = None
        self._lock = Lock()

    def known(self) -> Known:
        """What the cluster has, at most a minute old."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known.at > FRESH_SECONDS:
                self._known = self._find()
            return self._known

    def forget(self) -> None:
        """Ask again next time: what was found has turned out to be wrong."""
        with self._lock:
            self._known = None

    def _find(self) -> Known:
        with ThreadPoolExecutor(3) as pool:
            version = pool.submit(self._calls.discover, "/version")
            daemons = pool.submit(self._calls.every, Place(CONTROLLERS["DaemonSet"]))
            served = tuple(_served(self._calls))
            running = {(one["metadata"]["namespace"], _CNI[one["metadata"]["name"]]) for one in _cni(daemons.result())}
        cni = tuple(sorted({name for _, name in running}))
        mesh = self._mesh_namespaces() if any(api.group == apis.ISTIO for api in served) else ()
        facts = ClusterFacts(
            version=str(version.result().get("gitVersion", "")),
            apis=tuple(f"{api.group}/{api.version}/{api.plural}" for api in served),
            cni=cni,
            mesh=("istio",) if mesh else (),
            features=self._features({namespace for namespace, name in running if name == "cilium"}),
        )
        return Known(facts, mesh, time.monotonic())

    def _mesh_namespaces(self) -> tuple[str, ...]:
        found = self._calls.every(Place(CONTROLLERS["Deployment"]), labels="app=istiod")
        return tuple(sorted({one["metadata"]["namespace"] for one in found}))

    def _features(self, cilium: set[str]) -> tuple[str, ...]:
        for namespace in sorted(cilium):
            found = self._calls.get(Place(_CONFIG_MAPS, namespace, _CILIUM_CONFIG)) or {}
            if str((found.get("data") or {}).get("enable-host-firewall", "")).lower() == "true":
                return ("cilium-host-firewall",)
        return ()


def _cni(daemons: list[Raw]) -> Iterator[Raw]:
    for daemon in daemons:
        if daemon["metadata"]["name"] not in _CNI or daemon["metadata"]["namespace"] not in _CNI_NAMESPACES:
            continue
        status = daemon.get("status") or {}
        if status.get("desiredNumberScheduled", 0) and not status.get("numberReady", 0):
            log.warning("a CNI is installed and runs nowhere", daemonset=daemon["metadata"]["name"])
            continue
        yield daemon


def _served(calls: Calls) -> Iterator[Api]:
    found = calls.discover("/apis", _ACCEPT)
    if found.get("kind") == "APIGroupDiscoveryList":
        groups = {group["metadata"]["name"]: group["versions"] for group in found.get("items", ())}
    else:
        groups = {
            group["name"]: _versions(calls, group) for group in found.get("groups", ()) if group["name"] in apis.GROUPS
        }
    for group in apis.GROUPS:
        for version in groups.get(group, ()):
            if version.get("freshness") == "Stale":
                log.warning("an API is registered and does not answer", group=group, version=version["version"])
                continue
            for resource in version.get("resources", ()):
                if apis.is_known(group, resource["resource"]):
                    yield Api(group, version["version"], resource["resource"])


def _versions(calls: Calls, group: Raw) -> list[Raw]:
    """What an older server says of a group, in the form of newer ones."""
    return [
        {
            "version": version["version"],
            "resources": [
                {"resource": one["name"]}
                for one in calls.discover(f"/apis/{version['groupVersion']}").get("resources", ())
            ],
        }
        for version in group["versions"]
    ]
