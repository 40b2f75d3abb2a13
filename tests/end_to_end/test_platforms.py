"""One incident with a host, a pod and an instance: each contained by its own kill-switch, on real API servers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab import cast
from lab.network import Lab
from lab.platforms import Platforms
from lab.waiting import wait_until
from playbooks.kubernetes.marks import QUARANTINE
from tests.end_to_end.world import Incident, World, closed, waits_for_release


@pytest.fixture(scope="module")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platforms]:
    """A cluster and an account of their own: what the worker may there is deploy/kubernetes and nothing else."""
    with Platforms(tmp_path_factory.mktemp("platforms")) as made:
        made.allow_all()
        yield made


@pytest.fixture(scope="module")
def everywhere(platforms: Platforms, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A node that reaches hosts, the cluster and the account."""
    state = tmp_path_factory.mktemp("everywhere")
    with Lab.create("fbe2p", state_dir=state / "hosts") as lab:
        cast.start_services(lab)
        cast.start_denials(lab)
        made = World.create(lab, state, platforms=platforms.environment)
        cast.start_intruder(lab)  # whose session to app is what an isolation has to end
        yield made
        made.sender.close()
        made.control.stop()


def of_pod(platforms: Platforms, reference: str) -> dict[str, Any]:
    name = reference.rsplit("/", 1)[1]
    labels: dict[str, Any] = platforms.cluster.call("GET", f"/api/v1/namespaces/{platforms.namespace}/pods/{name}")[
        "metadata"
    ]["labels"]
    return labels


def groups_of(platforms: Platforms, reference: str) -> list[list[str]]:
    wanted = [{"Name": "attachment.instance-id", "Values": [reference.rsplit("/", 1)[1]]}]
    found = platforms.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
    return [[group["GroupName"] for group in interface["Groups"]] for interface in found]


# No pod runs here, so nothing has a log and no node an agent; nobody has asked for flow logs or findings.
OF_A_POD = {"objects": "collected", "images": "collected", "rbac": "collected", "node-capture": "missing"}
OF_AN_INSTANCE = {
    "configuration": "collected", "console": "collected", "identities": "empty", "flow-logs": "missing",
    "findings": "empty",
}  # fmt: skip


def collected(incident: Incident) -> dict[str, dict[str, str]]:
    """By kind of source, what became of each item by its name."""
    found: dict[str, dict[str, str]] = {}
    for item in incident["evidence"]:
        name = item["name"].rpartition(".")[0]
        found.setdefault(item["source"]["kind"], {})[name] = item["outcome"]["state"]
    return found


def settled(incident: Incident) -> bool:
    return waits_for_release(incident) and all(t["proof"] or t["state"] == "failed" for t in incident["targets"])


def test_a_host_a_pod_and_an_instance_are_contained_side_by_side_and_restored(
    everywhere: World, platforms: Platforms
) -> None:
    (pod,), (instance,) = platforms.pods(1), platforms.instances(1)
    before = of_pod(platforms, pod), groups_of(platforms, instance)

    _, incident_id = everywhere.sender.send_targets(rule="Quick all kinds", targets=["web", pod, instance])
    incident = everywhere.until(incident_id, settled, seconds=60)

    assert {t["state"] for t in incident["targets"]} == {"isolated"}
    verdicts = {t["workload"]["kind"]: t["proof"] for t in incident["targets"]}
    assert verdicts["host"]["verdict"] == "effective", verdicts["host"]
    assert verdicts["pod"]["configuration"] == verdicts["ec2-instance"]["configuration"] == "stands"
    assert everywhere.is_cut()
    assert of_pod(platforms, pod)[QUARANTINE] == incident_id
    assert all(name.startswith("firebreak-") for names in groups_of(platforms, instance) for name in names)
    assert len(groups_of(platforms, instance)) > 1

    by_source = collected(incident)
    assert by_source["host"]["sockets"] == "collected"
    assert {name: by_source["kubernetes"][name] for name in OF_A_POD} == OF_A_POD
    assert {name: by_source["aws"][name] for name in OF_AN_INSTANCE} == OF_AN_INSTANCE

    incident = everywhere.release(incident_id)

    assert everywhere.control.cli("evidence", "verify", incident_id).returncode == 0
    assert {(t["state"], t["restored"]) for t in incident["targets"]} == {("released", True)}
    assert (of_pod(platforms, pod), groups_of(platforms, instance)) == before
    assert not everywhere.is_cut()


def test_a_target_that_is_not_there_fails_by_itself(everywhere: World, platforms: Platforms) -> None:
    (pod,) = platforms.pods(1)
    gone = pod.replace("web-", "nobody-")

    _, incident_id = everywhere.sender.send_targets(rule="Quick gone", targets=[pod, gone])
    incident = everywhere.until(incident_id, settled, seconds=60)

    states = {t["workload"]["name"]: t["state"] for t in incident["targets"]}
    assert states == {pod.rsplit("/", 1)[1]: "isolated", gone.rsplit("/", 1)[1]: "failed"}
    reasons = [t["reason"] for t in incident["targets"] if t["state"] == "failed"]
    assert "nobody-" in reasons[0]
    everywhere.release(incident_id)


def test_a_plan_is_shown_before_and_one_target_is_let_go_by_the_command_line(
    everywhere: World, platforms: Platforms
) -> None:
    pod, other = platforms.pods(2)
    before = of_pod(platforms, pod)
    plan = json.loads(everywhere.control.cli("contain", "plan", pod, "--json").stdout)

    assert of_pod(platforms, pod) == before
    assert plan["change"]["mechanism"] == "network-policy"
    assert plan["refusals"] == []
    assert any("patch pods" in permission for permission in plan["permissions"])

    _, incident_id = everywhere.sender.send_targets(rule="Quick one of two", targets=[pod, other])
    everywhere.until(incident_id, settled, seconds=60)
    everywhere.control.cli("contain", "--off", pod, "--reason", "clean")

    assert of_pod(platforms, pod) == before
    assert QUARANTINE in of_pod(platforms, other)
    everywhere.release(incident_id)


def test_a_person_asks_and_another_one_approves(everywhere: World, platforms: Platforms) -> None:
    (pod, instance) = platforms.pods(1)[0], platforms.instances(1)[0]
    asked = everywhere.control.cli("contain", "--on", pod, "--on", instance, "--reason", "beacons", "--json")
    incident_id = json.loads(asked.stdout)["incident_id"]
    incident = everywhere.until(incident_id, lambda i: bool(i["gates"]))

    (gate,) = incident["gates"]
    assert gate["gate"]["gate_id"] == "contain"
    refused = everywhere.control.cli("incidents", "decide", incident_id, "contain", "--approve", check=False)
    assert "requested this change and can't decide on it" in refused.stderr + refused.stdout
    made = everywhere.control.cli("token", "create", "second-person", "--role", "approver", "--json")
    body = {"gate_id": "contain", "plan_hash": gate["gate"]["plan_hash"], "verdict": "approve", "reason": "seen"}
    with everywhere.control.client(json.loads(made.stdout)["token"]) as api:
        api.post(f"/v1/incidents/{incident_id}/decisions", json=body).raise_for_status()

    wait_until(lambda: platforms.are_cut([instance]) and QUARANTINE in of_pod(platforms, pod), 20, "both cut")
    everywhere.until(incident_id, settled, seconds=60)
    everywhere.release(incident_id)


def test_a_platform_whose_worker_was_killed_goes_on_where_it_was(everywhere: World, platforms: Platforms) -> None:
    (pod,) = platforms.pods(1)
    before = of_pod(platforms, pod)
    everywhere.control.kill_part("worker-kubernetes")

    _, incident_id = everywhere.sender.send_targets(rule="Quick killed", targets=[pod])
    everywhere.until(incident_id, settled, seconds=60)

    assert QUARANTINE in of_pod(platforms, pod)
    incident = everywhere.release(incident_id)
    assert closed(incident)
    assert of_pod(platforms, pod) == before
