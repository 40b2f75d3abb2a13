"""An incident from the webhook to the report, through the doors that users have."""

import json
import subprocess
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import dpkt

from lab import cast
from lab.captures import check_captures
from lab.prober import Prober
from lab.waiting import wait_until
from lab.webhook import alert_body
from tests.end_to_end.world import World, closed, gate_open, kinds, proven, waits_for_release


def test_intruder_is_cut_proven_repaired_released_and_reported(world: World) -> None:
    before = world.lab["web"].run(["nft", "-s", "list", "ruleset"]).stdout
    with Prober(world.lab) as prober:
        intruder = cast.start_intruder(world.lab)
        incident_id = world.alert("Repair the intruder's work")
        incident = world.until(incident_id, proven)
        assert incident["targets"][0]["proof"]["verdict"] == "effective", incident["targets"][0]["proof"]
        incident = world.until(incident_id, gate_open, seconds=60)
        report = prober.report()
        cut, blocked_ns = report.cut, report.first_blocked_ns
        assert (cut.new, cut.established, cut.ipv6) == (True, True, True)
        _approve(world, incident)
        world.until(incident_id, waits_for_release)
        assert intruder.wait(5) == -9
        incident = world.release(incident_id)
    assert incident["targets"][0]["restored"] is True
    assert world.lab["web"].run(["nft", "-s", "list", "ruleset"]).stdout == before
    with world.control.client() as api:
        text = api.get(f"/v1/incidents/{incident_id}/report").text
        verdict = api.get(f"/v1/incidents/{incident_id}/evidence/verification").json()
    assert incident_id in text
    assert verdict["ok"], verdict
    assert verdict["verified"] == verdict["items"] > 3
    packets = [item for item in incident["evidence"] if item["kind"] == "packets"]
    assert sum(item["acquisition"]["packets_captured"] or 0 for item in packets) > 0
    figures = check_captures(incident, world.lab["web"].ipv4, world.lab["db"].ipv4, blocked_ns)
    assert figures.captures == figures.agreeing > 1
    assert figures.before_the_cut > 0, "what matters most happened before the alert"
    for item in packets:
        if item["storage"]:
            assert _frames(item["storage"]["uri"]) == item["acquisition"]["packets_captured"]


def _frames(uri: str) -> int:
    with Path(unquote(urlsplit(uri).path)).open("rb") as file:
        return sum(1 for _ in dpkt.pcapng.Reader(file))


def _approve(world: World, incident: dict[str, object]) -> None:
    made = world.control.cli("token", "create", f"approver-{uuid.uuid4().hex[:6]}", "--role", "approver", "--json")
    gate = next(g["gate"] for g in incident["gates"] if g["outcome"] is None)  # type: ignore[attr-defined]
    body = {"gate_id": gate["gate_id"], "plan_hash": gate["plan_hash"], "verdict": "approve", "reason": "seen"}
    with world.control.client(json.loads(made.stdout)["token"]) as api:
        api.post(f"/v1/incidents/{incident['incident_id']}/decisions", json=body).raise_for_status()


def test_thousand_copies_of_one_alert_are_one_incident_that_counted_them(world: World) -> None:
    body = alert_body(rule="Quick thousand", host="web", destination=world.lab["db"].ipv4)
    answers = [world.sender.post(body, f"msg_{uuid.uuid4().hex}")[1] for _ in range(1000)]
    assert {answer.status_code for answer in answers} == {202}
    incidents = {answer.json()["incident_id"] for answer in answers}
    assert len(incidents) == 1
    incident_id = incidents.pop()
    world.until(incident_id, lambda i: i["alerts"] == 1000 and waits_for_release(i), seconds=60)
    assert world.release(incident_id)["alerts"] == 1000


def test_same_webhook_id_twice_is_answered_as_already_known(world: World) -> None:
    body = alert_body(rule="Quick twice", host="web", destination=world.lab["db"].ipv4)
    first, second = (world.sender.post(body, "msg_twice")[1].json() for _ in range(2))
    assert first["status"] == "accepted"
    assert second["status"] == "already-known"
    assert first["incident_id"] == second["incident_id"]
    incident = world.until(first["incident_id"], waits_for_release)
    assert incident["alerts"] == 1
    world.release(first["incident_id"])


def test_alert_that_names_no_known_workload_waits_in_triage_and_contains_nothing(world: World) -> None:
    incident_id = world.alert("Quick stranger", host="nobody-we-know")
    incident = world.until(incident_id, lambda i: "triage-needed" in kinds(i))
    assert incident["status"] == "open"
    assert incident["targets"] == []
    assert not world.is_cut()
    world.control.cli("incidents", "close", incident_id, "--reason", "not ours")
    world.until(incident_id, closed)


def test_people_decide_on_the_exact_plan_before_a_gated_isolation(world: World) -> None:
    incident_id = world.alert("Gated")
    incident = world.until(incident_id, gate_open)
    assert not world.is_cut()
    gate = incident["gates"][0]["gate"]
    wrong = {"gate_id": gate["gate_id"], "plan_hash": "sha256:" + "0" * 64, "verdict": "approve", "reason": "x"}
    with world.control.client() as api:
        refused = api.post(f"/v1/incidents/{incident_id}/decisions", json=wrong)
    assert refused.status_code in {403, 409}, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    _approve(world, incident)
    world.until(incident_id, proven)
    assert world.is_cut()
    world.until(incident_id, waits_for_release)
    world.release(incident_id)
    wait_until(lambda: not world.is_cut(), 10, "traffic after the release")


def test_agent_refuses_an_order_that_control_did_not_sign(world: World) -> None:
    # `temporal` as anybody who reaches the server could use it: no key of ours.
    queue = f"host.{world.lab['web'].machine_id}"
    address = world.control.node()["temporal_address"]
    body = json.dumps({"header": {"order_id": "forged", "host_id": world.lab["web"].machine_id, "incident_id": "x",
                                  "plan_hash": None, "expires_at": "2099-01-01T00:00:00Z"}})  # fmt: skip
    command = [world.control.temporal_cli, "activity", "execute", "--address", address, "--type", "ping_host"]
    command += ["--task-queue", queue, "--activity-id", f"forged-{uuid.uuid4().hex[:6]}", "--input", body]
    command += ["--start-to-close-timeout", "10s", "--schedule-to-close-timeout", "10s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "was refused: it is not signed" in done.stdout, done.stdout + done.stderr
    audited = world.control.cli("audit", "list", "--json").stdout
    assert "forged" in audited
