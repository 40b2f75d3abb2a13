"""Where things are in the Kubernetes API: paths, and the same in the words of RBAC.

Owns the form of a path and of a permission. Never sends anything.

    Place(PODS, "shop", "web-1").path               # -> "/api/v1/namespaces/shop/pods/web-1"
    Place(PODS, "shop", "web-1").permission("patch")  # -> "patch pods"
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from activities.killswitch.platform import TargetUnknown

# Names of RBAC objects may hold colons. Dots alone would climb in the path: a name starts with a letter or digit.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Api:
    """One resource of one version of one API group."""

    group: str
    version: str
    plural: str

    @property
    def resource(self) -> str:
        """`networkpolicies.networking.k8s.io`; of the core group `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


@dataclass(frozen=True)
class Place:
    """One object, or without a name a collection; without a namespace cluster-wide."""

    api: Api
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The path of its URL.

        Raises:
            TargetUnknown: a name that no object of Kubernetes can have.
        """
        parts = [self.api.root]
        if self.namespace:
            parts += ["namespaces", _segment(self.namespace)]
        parts.append(self.api.plural)
        if self.name:
            parts.append(_segment(self.name))
        return "/".join([*parts, self.subresource] if self.subresource else parts)

    def permission(self, verb: str) -> str:
        """What RBAC calls the right to do this, as `verb resource.group`."""
        plural = f"{self.api.plural}/{self.subresource}" if self.subresource else self.api.plural
        return f"{verb} {Api(self.api.group, self.api.version, plural).resource}"

    def __str__(self) -> str:
        name = f"{self.api.resource} {self.name}".rstrip()
        return f"{name} in namespace {self.namespace}" if self.namespace else name


def _segment(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise TargetUnknown(f"{name!r} is not a name that an object of Kubernetes can have.")
    return quote(name, safe="")


PODS = Api("", "v1", "pods")
NAMESPACES = Api("", "v1", "namespaces")
NODES = Api("", "v1", "nodes")
SERVICES = Api("", "v1", "services")
SECRETS = Api("", "v1", "secrets")
SERVICE_ACCOUNTS = Api("", "v1", "serviceaccounts")
ROLE_BINDINGS = Api("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLE_BINDINGS = Api("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
NETWORK_POLICIES = Api("networking.k8s.io", "v1", "networkpolicies")
CONTROLLERS = {
    "Deployment": Api("apps", "v1", "deployments"),
    "StatefulSet": Api("apps", "v1", "statefulsets"),
    "DaemonSet": Api("apps", "v1", "daemonsets"),
    "ReplicaSet": Api("apps", "v1", "replicasets"),
    "Job": Api("batch", "v1", "jobs"),
    "ReplicationController": Api("", "v1", "replicationcontrollers"),
}
