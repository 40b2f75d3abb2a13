"""A worker under exactly the RBAC that is shipped, and a namespace of its own for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient

from activities.killswitch.platform import Platform
from activities.kubernetes.client import open_cluster
from activities.kubernetes.platform import KubernetesPlatform, open_platform
from lab.cluster import Cluster
from lab.processes import PROJECT_ROOT
from tests.activities.kubernetes import definitions
from tests.activities.kubernetes.making import CLUSTER, INCIDENT, Ground, workload

MANIFESTS = PROJECT_ROOT / "deploy" / "kubernetes"
Restrict = Callable[[str, dict[str, str]], ApiClient]


@pytest.fixture(scope="session")
def _clients() -> Iterator[dict[str, ApiClient]]:
    opened: dict[str, ApiClient] = {}
    yield opened
    for client in opened.values():
        client.close()  # type: ignore[no-untyped-call]  # the package leaves it without


@pytest.fixture
def restrict(cluster: Cluster, _clients: dict[str, ApiClient], tmp_path: Path) -> Restrict:
    """A client under these manifests, for an account and roles that nobody else uses; once for a run."""

    def make(suffix: str, manifests: dict[str, str]) -> ApiClient:
        if suffix not in _clients:
            for name, text in manifests.items():
                own = text.replace("name: firebreak-", f"name: firebreak-{suffix}-").replace("-worker", f"-{suffix}")
                (tmp_path / name).write_text(own, encoding="utf-8")
            _clients[suffix] = open_cluster(cluster.restrict(tmp_path, f"firebreak/kubernetes-{suffix}"))
        return _clients[suffix]

    return make


def shipped(*names: str) -> dict[str, str]:
    return {name: (MANIFESTS / name).read_text(encoding="utf-8") for name in names}


@pytest.fixture
def worker(restrict: Restrict) -> ApiClient:
    """Under both files that are shipped."""
    return restrict("full", shipped("rbac.yaml", "identities.yaml"))


@pytest.fixture
def base_worker(restrict: Restrict) -> ApiClient:
    """Without the optional file."""
    return restrict("base", shipped("rbac.yaml"))


@pytest.fixture(scope="session")
def _served() -> set[str]:
    return set()


@pytest.fixture
def served(cluster: Cluster, _served: set[str], tmp_path: Path) -> Cluster:
    """The cluster with the policies of every add-on."""
    if cluster.url not in _served:
        definitions.install(cluster, tmp_path)
        _served.add(cluster.url)
    return cluster


@pytest.fixture
def ground(cluster: Cluster) -> Ground:
    return Ground(cluster, cluster.namespace("shop"))


@pytest.fixture
def platform(worker: ApiClient) -> KubernetesPlatform:
    return opened(worker)


def opened(client: ApiClient, incident_id: str = INCIDENT) -> KubernetesPlatform:
    platform: Platform = open_platform({CLUSTER: client})(workload("Pod", "any"), incident_id)
    assert isinstance(platform, KubernetesPlatform)
    return platform
