import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client import ApiException, CoreV1Api, VersionApi

from lab.cluster import Cluster
from lab.errors import LabError

READER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %(name)s}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %(name)s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %(name)s}
subjects: [{kind: ServiceAccount, name: reader, namespace: %(name)s}]
"""


@contextlib.contextmanager
def opened(kubeconfig: Path) -> Iterator[client.ApiClient]:
    api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]  # the package leaves it without
    with api:
        yield api


def policy(tier: str = "web") -> dict[str, Any]:
    spec = {"podSelector": {"matchLabels": {"tier": tier}}, "policyTypes": ["Ingress"]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}


def policies(namespace: str, rest: str = "") -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies{rest}"


def test_server_says_which_version_it_is(cluster: Cluster) -> None:
    version = VersionApi(cluster.admin).get_code()
    assert (version.git_version, version.major, version.minor) == ("v1.34.4", "1", "34")


def test_identity_may_do_what_its_manifests_grant_and_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    here = cluster.namespace("reader")
    (tmp_path / "rbac.yaml").write_text(READER % {"name": here}, encoding="utf-8")
    path = cluster.restrict(tmp_path, f"{here}/reader")
    with opened(path) as api:
        assert CoreV1Api(api).list_namespaced_pod(here).items == []
        with pytest.raises(ApiException) as refused:
            CoreV1Api(api).list_namespaced_secret(here)
    assert refused.value.status == 403
    assert f"system:serviceaccount:{here}:reader" in str(refused.value.body)


def test_manifests_without_a_binding_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("kind: Service\n", encoding="utf-8")
    with pytest.raises(LabError, match="binds no role"):
        cluster.restrict(tmp_path, "nowhere/nobody")


def test_token_of_nobody_is_refused(cluster: Cluster) -> None:
    with cluster.client("not-a-token") as api, pytest.raises(ApiException) as refused:
        VersionApi(api).get_code()
    assert refused.value.status == 401


def test_admin_kubeconfig_opens_the_cluster(cluster: Cluster) -> None:
    here = cluster.namespace("kubeconfig")
    with opened(cluster.kubeconfig("admin")) as api:
        assert here in {one.metadata.name for one in CoreV1Api(api).list_namespace().items if one.metadata}


def test_field_of_another_manager_is_a_conflict_of_server_side_apply(cluster: Cluster) -> None:
    here = cluster.namespace("conflict")

    def apply(manager: str, tier: str) -> None:
        path = policies(here, f"/p?fieldManager={manager}")
        cluster.call("PATCH", path, policy(tier), "application/apply-patch+yaml")

    apply("first", "web")
    with pytest.raises(ApiException) as conflict:
        apply("second", "db")
    assert conflict.value.status == 409
    assert "first" in str(conflict.value.body)


def test_dry_run_answers_as_if_done_and_leaves_nothing(cluster: Cluster) -> None:
    here = cluster.namespace("dry")
    answer = cluster.call("POST", policies(here, "?dryRun=All"), policy())
    assert answer["metadata"]["uid"]
    assert cluster.call("GET", policies(here))["items"] == []


def test_namespaces_of_one_prefix_differ(cluster: Cluster) -> None:
    assert cluster.namespace("same") != cluster.namespace("same")


def test_pod_is_stored_and_never_started(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace('pod')}/pods"
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    cluster.call("POST", path, pod)
    assert cluster.call("GET", f"{path}/web")["status"]["phase"] == "Pending"


def test_nothing_of_a_cluster_is_left_when_its_user_fails(cluster: Cluster) -> None:
    own = Cluster()
    pids: list[int] = []

    def fail_inside() -> None:
        with own:
            pids.extend(process.pid for process in own.processes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not own.state_dir.exists()


def test_program_that_ends_at_once_is_named_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("etcd", "kube-apiserver"):
        (tmp_path / program).write_text("#!/bin/sh\necho no space left\nexit 7\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setattr("lab.cluster_parts.programs", lambda: tmp_path)
    with pytest.raises(LabError, match=r"(?s)(etcd|kube-apiserver) ended with 7.*no space left"), Cluster():
        pass
