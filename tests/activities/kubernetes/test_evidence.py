"""Evidence from a real API server, under exactly the shipped RBAC; logs come from a kubelet of the tests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

from activities.contracts.evidence import CollectedItem
from activities.kubernetes import evidence_logs, evidence_scene
from activities.kubernetes.evidence import COLLECTORS, open_evidence
from segmentation.workloads import Workload
from tests.activities.kubernetes.conftest import Restrict, shipped
from tests.activities.kubernetes.kubelet import Kubelet
from tests.activities.kubernetes.making import CLUSTER, RBAC, Ground, owned, workload
from tests.activities.platform_evidence.keeping import Kept, by_label, evidence, order

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ALL = tuple(COLLECTORS)


@pytest.fixture
def collector(restrict: Restrict) -> ApiClient:
    return restrict("evidence", shipped("rbac.yaml", "evidence.yaml"))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def kubelet(ground: Ground, tmp_path: Path) -> Iterator[Kubelet]:
    """The node that every pod of the test runs on."""
    with Kubelet(tmp_path) as running:
        ground.node()
        ground.cluster.call("PATCH", f"/api/v1/nodes/{ground.name}/status", {"status": running.status()}, MERGE)
        yield running


MERGE = "application/merge-patch+json"


def running_pod(ground: Ground, name: str = "web-1", restarts: int = 0, **more: Any) -> None:
    """A pod as a kubelet would have reported it."""
    ground.pod(name, labels={"app": "web"}, nodeName=ground.name, **more)
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}} if restarts else {}
    status = {
        "name": "main", "image": "web:1", "imageID": f"registry/web@{DIGEST}", "ready": True,
        "restartCount": restarts, "state": {"running": {}}, "lastState": state,
    }  # fmt: skip
    seen = {"phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}], "containerStatuses": [status]}
    ground.cluster.call("PATCH", f"{ground.here('pods')}/{name}/status", {"status": seen}, MERGE)


def collect(
    client: ApiClient, target: Workload, kept: Kept, folder: Path, *names: Any, **more: Any
) -> dict[str, CollectedItem]:
    asked = order(target, kubernetes=names or ALL, **more)
    return by_label(evidence(open_evidence({CLUSTER: client}), kept, folder).collect_from_platform(asked))


def states(items: dict[str, CollectedItem]) -> dict[str, str]:
    return {name: item.outcome.state for name, item in items.items()}


def test_of_a_pod_everything_is_collected_most_volatile_first(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    running_pod(ground, restarts=1)
    kubelet.logs["web-1", "main", "current"] = b"2031-05-01T12:00:00Z GET /shell\n"
    kubelet.logs["web-1", "main", "previous"] = b"2031-05-01T11:00:00Z killed\n"
    event(ground, "Pod", "web-1", "BackOff")

    items = collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path)

    log = f"log.{ground.name}.web-1.main"
    assert set(states(items).values()) == {"collected"}, {k: i.outcome for k, i in items.items()}
    assert list(items) == [
        "node-capture",
        "events",
        f"{log}.current",
        f"{log}.previous",
        "logs",
        "objects",
        "images",
        "rbac",
    ]
    assert kept.artefacts[items[f"{log}.current"].evidence_id] == b"2031-05-01T12:00:00Z GET /shell\n"
    assert kept.artefacts[items[f"{log}.previous"].evidence_id] == b"2031-05-01T11:00:00Z killed\n"
    assert all(item.source.provider == CLUSTER for item in items.values())
    assert items["objects"].source.reference == f"{ground.name}/pod/web-1"
    assert items["objects"].acquisition.tool == "kubernetes client"


def test_objects_hold_who_made_the_pod_where_it_runs_and_what_lets_traffic_to_it(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    deployment = ground.deployment("web", {"app": "web"})
    replicas = ground.replica_set("web-5d9", deployment, {"app": "web"})
    ground.account("shop")
    running_pod(ground, ownerReferences=[owned(replicas)], serviceAccountName="shop")
    ground.policy("allow", {"podSelector": {"matchLabels": {"app": "web"}}})
    ground.policy("other", {"podSelector": {"matchLabels": {"app": "db"}}})
    ground.service("web", {"app": "web"})
    ground.service("db", {"app": "db"})
    ground.make(
        ground.here("endpointslices", "/apis/discovery.k8s.io/v1"), "web-x",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.7"]}], "ports": []},
        labels={"kubernetes.io/service-name": "web"},
    )  # fmt: skip

    items = collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path, "objects")
    found = kept.document(items["objects"])

    assert list(found["owners"]) == [f"ReplicaSet {ground.name}/web-5d9", f"Deployment {ground.name}/web"]
    assert found["nodes"][ground.name]["metadata"]["name"] == ground.name
    assert found["service_accounts"][f"{ground.name}/shop"]["metadata"]["name"] == "shop"
    assert [one["metadata"]["name"] for one in found["network_policies"]] == ["allow"]
    assert [one["metadata"]["name"] for one in found["services"]] == ["web"]
    assert [one["metadata"]["name"] for one in found["endpoint_slices"]] == ["web-x"]
    assert found["pods"][0]["metadata"]["managedFields"], "who changed what, and when, is evidence too"


def test_a_log_that_is_longer_than_its_bound_is_cut_and_the_rest_is_a_gap(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_logs, "MAX_LOG_BYTES", 100)
    running_pod(ground)
    kubelet.logs["web-1", "main", "current"] = b"2031-05-01T12:00:00.123456789Z line\n" * 9

    items = collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path, "logs")
    log = items[f"log.{ground.name}.web-1.main.current"]

    assert (log.size, log.outcome.state, log.acquisition.truncated) == (100, "truncated", True)
    (gap,) = log.acquisition.gaps
    assert gap.started == datetime(2031, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert kubelet.queries[0]["limitBytes"] == "100"
    assert kubelet.queries[0]["timestamps"] == "true"
    assert "sinceTime" in kubelet.queries[0]


def test_a_log_that_the_node_does_not_give_costs_that_log_alone(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    running_pod(ground, containers=[{"name": "main", "image": "web"}, {"name": "side", "image": "side"}])
    kubelet.logs["web-1", "main", "current"] = b"hello\n"

    items = collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path, "logs")

    log = f"log.{ground.name}.web-1"
    assert states(items) == {f"{log}.main.current": "collected", f"{log}.side.current": "failed", "logs": "collected"}
    said = {(one["container"], one["log"]): one["state"] for one in kept.document(items["logs"])["logs"]}
    assert said["main", "previous"] == "empty"
    assert said["side", "current"] == "failed"


def test_images_tell_the_digest_that_ran_from_the_one_that_was_wanted(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    running_pod(ground, containers=[{"name": "main", "image": f"registry/web@{OTHER}"}])

    items = collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path, "images")
    (line,) = kept.document(items["images"])["containers"]

    assert (line["digest"], line["pinned"], line["as_wanted"]) == (DIGEST, True, False)


def test_rbac_is_that_of_the_pods_account_with_the_rules_behind_each_binding(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    ground.account("shop")
    running_pod(ground, serviceAccountName="shop")
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    ground.make(ground.here("roles", RBAC), "reader", {"rules": rules})
    subject = {"kind": "ServiceAccount", "name": "shop", "namespace": ground.name}
    for name, role in (("reads", "reader"), ("dangles", "gone")):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        ground.make(ground.here("rolebindings", RBAC), name, {"roleRef": reference, "subjects": [subject]})

    found = kept.document(collect(collector, workload("Pod", "web-1", ground.name), kept, tmp_path, "rbac")["rbac"])

    bound = {one["metadata"]["name"] for one in found["accounts"][f"{ground.name}/shop"]}
    assert {"reads", "dangles"} <= bound
    assert found["roles"][f"Role {ground.name}/reader"]["rules"] == rules
    assert found["roles"][f"Role {ground.name}/gone"] == {"not_there": f"bound by {ground.name}/dangles"}


def test_node_capture_says_on_which_node_and_by_which_addresses(
    ground: Ground, kubelet: Kubelet, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    running_pod(ground)
    asked = order(workload("Pod", "web-1", ground.name), kubernetes=("node-capture",))
    collected = evidence(open_evidence({CLUSTER: collector}), kept, tmp_path).collect_from_platform(asked)

    (node,) = collected.nodes
    assert (node.node, node.pods, [str(one) for one in node.addresses]) == (
        ground.name, (f"{ground.name}/web-1",), ["10.1.0.7"],
    )  # fmt: skip


def test_of_a_namespace_the_pods_beyond_the_bound_are_named(
    ground: Ground, collector: ApiClient, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_scene, "MOST_PODS", 2)
    for name in ("a", "b", "c"):
        ground.pod(name)

    items = collect(collector, workload("Namespace", ground.name), kept, tmp_path, "objects")

    assert items["objects"].outcome.state == "truncated"
    assert kept.document(items["objects"])["pods_not_collected"] == [f"{ground.name}/c"]


def test_of_a_pod_that_is_gone_its_events_are_still_collected(
    ground: Ground, collector: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    event(ground, "Pod", "gone", "Killing")

    items = collect(collector, workload("Pod", "gone", ground.name), kept, tmp_path)

    assert [one["reason"] for one in kept.document(items["events"])["events"]] == ["Killing"]
    assert items["events"].outcome.state == "truncated"
    assert "There is no Pod" in items["objects"].outcome.reason
    assert states(items)["objects"] == "failed"


def test_without_the_optional_role_each_item_names_the_permission_that_it_lacked(
    ground: Ground, kubelet: Kubelet, base_worker: ApiClient, kept: Kept, tmp_path: Path
) -> None:
    running_pod(ground)

    items = collect(base_worker, workload("Pod", "web-1", ground.name), kept, tmp_path)

    assert "get pods/log" in items[f"log.{ground.name}.web-1.main.current"].outcome.reason
    assert "list events" in items["events"].outcome.reason
    assert "list rolebindings.rbac.authorization.k8s.io" in items["rbac"].outcome.reason
    assert items["images"].outcome.state == "collected"


def event(ground: Ground, kind: str, name: str, reason: str) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "involvedObject": {"kind": kind, "name": name, "namespace": ground.name},
        "reason": reason, "type": "Warning", "firstTimestamp": stamp, "lastTimestamp": stamp,
    }  # fmt: skip
    ground.make(ground.here("events"), f"{name}.{reason.lower()}", body)
