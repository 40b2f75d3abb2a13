"""What each refusal of an API server becomes; all of them real, but for the throttling."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from kubernetes.client import ApiClient, Configuration

from activities.killswitch import engine
from activities.killswitch.platform import (
    PermissionMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnreachable,
)
from activities.kubernetes import transport
from activities.kubernetes.client import open_cluster
from activities.kubernetes.platform import KubernetesPlatform
from activities.kubernetes.refusals import ApiMissing
from lab.cluster import Cluster
from lab.waiting import wait_until
from tests.activities.kubernetes.conftest import Restrict, opened
from tests.activities.kubernetes.fronting import Busy, fronted
from tests.activities.kubernetes.making import (
    MOMENT,
    POLICIES,
    Ground,
    change,
    deny_all,
    intent,
    policy_object,
    setting,
    workload,
)

NOTHING = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: firebreak-nothing}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:discovery}
subjects: [{kind: ServiceAccount, name: kubernetes-worker, namespace: firebreak}]
"""


def client_of(host: str, token: str = "", ca: Path | None = None) -> ApiClient:
    configuration = Configuration(host=host)
    configuration.api_key = {"authorization": f"Bearer {token}"}
    configuration.retries = False
    configuration.ssl_ca_cert = str(ca) if ca else None
    return ApiClient(configuration)


def denial(ground: Ground) -> Any:
    return setting(policy_object(ground), "object", None, deny_all())


def test_a_missing_permission_is_named_with_verb_resource_and_namespace(restrict: Restrict, ground: Ground) -> None:
    platform = opened(restrict("nothing", {"rbac.yaml": NOTHING}))
    target = workload("Pod", "web-1", ground.name)
    with pytest.raises(PermissionMissing) as missing:
        platform.observe(target, intent(target))
    assert f"get pods in namespace {ground.name} (object web-1)" in missing.value.summary
    assert "deploy/kubernetes/rbac.yaml" in missing.value.hint
    with pytest.raises(PermissionMissing, match=r"get networkpolicies\.networking\.k8s\.io in namespace"):
        platform.write(denial(ground), deny_all(), MOMENT)
    assert "does not let us get networkpolicies" in platform.refusal(denial(ground), deny_all())
    wide = setting("node/n1", "unschedulable", before=False, after=True)
    with pytest.raises(PermissionMissing, match="get nodes cluster-wide"):
        platform.read(wide)


def test_what_admission_forbids_is_a_refusal_and_no_missing_permission(
    platform: KubernetesPlatform, ground: Ground
) -> None:
    _forbid_policies(ground)
    planned = denial(ground)
    wait_until(lambda: bool(platform.refusal(planned, planned.after)), 20.0, "the admission policy to count")
    with pytest.raises(PlatformRefused, match="no policies today") as refused:
        engine.apply(platform, change(planned), MOMENT)
    assert not isinstance(refused.value, PermissionMissing)


def _forbid_policies(ground: Ground) -> None:
    root = "/apis/admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["networking.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["*"],
        "resources": ["networkpolicies"],
    }
    said = {"expression": "false", "message": "no policies today", "reason": "Forbidden"}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ground.name}}}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [said]}
    ground.make(f"{root}/validatingadmissionpolicies", ground.name, {"spec": spec})
    bound = {"policyName": ground.name, "validationActions": ["Deny"], "matchResources": here}
    ground.make(f"{root}/validatingadmissionpolicybindings", ground.name, {"spec": bound})


def test_a_credential_that_is_not_accepted_is_said_so(cluster: Cluster, ground: Ground) -> None:
    with (
        client_of(cluster.url, "wrong", cluster.ca_file) as client,
        pytest.raises(PermissionMissing, match="does not accept our credential"),
    ):
        opened(client).read(denial(ground))


def test_a_server_that_is_down_is_unreachable_and_worth_a_retry(ground: Ground) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    refused = pytest.raises(PlatformUnreachable, match=f"Cluster lab at https://127.0.0.1:{port} does not answer")
    with client_of(f"https://127.0.0.1:{port}") as client, refused as down:
        opened(client).read(denial(ground))
    assert down.value.retryable
    assert "Connection refused" in down.value.summary


def test_a_server_of_an_unknown_authority_is_unreachable(cluster: Cluster, ground: Ground) -> None:
    with client_of(cluster.url, "any") as client, pytest.raises(PlatformUnreachable, match=r"(?i)certificate"):
        opened(client).read(denial(ground))


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_says_nothing_is_given_up_in_bounded_time(
    silent: str, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", (0.2, 0.2))
    with client_of(silent) as client, pytest.raises(PlatformUnreachable, match="timed out"):
        opened(client).read(denial(ground))


def test_credentials_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformRefused, match=r"No credentials for a cluster in .*missing"):
        open_cluster(tmp_path / "missing")
    with pytest.raises(PlatformRefused, match="the service account of this pod"):
        open_cluster(None)


def test_a_throttling_server_is_waited_for_and_that_is_said(worker: ApiClient, ground: Ground) -> None:
    busy = Busy(refusals=3)
    with fronted(worker, busy) as client, structlog.testing.capture_logs() as logs:
        assert engine.apply(opened(client), change(denial(ground)), MOMENT).changed == 1
    waits = [entry for entry in logs if entry["event"] == "the API server asks us to wait"]
    assert [(entry["status"], entry["attempt"]) for entry in waits] == [(429, 1), (429, 2), (429, 3)]
    assert ground.names("networkpolicies", POLICIES) == {"firebreak-inc-1"}


def test_the_time_that_a_throttling_server_names_is_waited(
    worker: ApiClient, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("activities.kubernetes.transport.time.sleep", waited.append)
    with fronted(worker, Busy(refusals=1, code=503, retry_after="2")) as client:
        opened(client).read(denial(ground))
    assert len(waited) == 1
    assert 2.0 <= waited[0] <= 3.0


def test_a_server_that_goes_on_throttling_is_an_error_worth_a_retry(
    worker: ApiClient, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.kubernetes.transport.time.sleep", lambda _: None)
    busy = Busy(refusals=99)
    with fronted(worker, busy) as client, pytest.raises(PlatformThrottled, match="too many requests") as throttled:
        opened(client).read(denial(ground))
    assert throttled.value.retryable
    assert len(busy.asked) == 5


def test_a_server_that_asks_for_minutes_is_not_waited_for_here(worker: ApiClient, ground: Ground) -> None:
    busy = Busy(refusals=9, retry_after="300")
    with fronted(worker, busy) as client, pytest.raises(PlatformThrottled):
        opened(client).read(denial(ground))
    assert len(busy.asked) == 1


def test_a_page_that_is_no_api_server_is_not_taken_for_an_answer(worker: ApiClient, ground: Ground) -> None:
    for code, body in ((200, b"<html>login</html>"), (404, b"not here"), (502, b"bad gateway")):
        busy = Busy(refusals=9, code=code, retry_after=None, body=body)
        with fronted(worker, busy) as client, pytest.raises((PlatformUnreachable, ApiMissing)):
            opened(client).read(denial(ground))
