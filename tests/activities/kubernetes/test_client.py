"""Credentials: those of a pod that the worker runs in, and how often they are looked for."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import incluster_config

from activities.kubernetes import client
from activities.kubernetes.calls import Calls
from activities.kubernetes.client import open_cluster
from activities.kubernetes.places import PODS, Place
from lab.cluster import Cluster
from tests.activities.kubernetes.making import CLUSTER, Ground


@pytest.fixture
def in_pod(cluster: Cluster, worker: ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a kubelet gives a pod; returns the file with its token."""
    token = tmp_path / "token"
    bearer = next(iter(worker.configuration.api_key.values())).removeprefix("Bearer ")
    token.write_text(bearer, encoding="utf-8")
    at = urlsplit(cluster.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(at.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(at.port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(cluster.ca_file))
    return token


def test_a_worker_in_a_pod_uses_its_service_account(in_pod: Path, ground: Ground) -> None:
    ground.pod()
    with open_cluster(None) as opened:
        assert Calls(opened, CLUSTER).get(Place(PODS, ground.name, "web-1"))


def test_a_newer_token_is_looked_for_seldom_and_not_never(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    looked: list[Configuration] = []

    def look(configuration: Any) -> None:
        looked.append(configuration)
        configuration.refresh_api_key_hook = look  # as the package's own does

    monkeypatch.setattr("activities.kubernetes.client.time.monotonic", lambda: now[0])
    hook = client._seldom(look)
    assert hook is not None
    configuration: Any = Configuration()
    configuration.refresh_api_key_hook = hook
    for now[0] in (0.0, 1.0, client.TOKEN_SECONDS - 1, client.TOKEN_SECONDS, client.TOKEN_SECONDS + 1):
        configuration.refresh_api_key_hook(configuration)
    assert len(looked) == 2
