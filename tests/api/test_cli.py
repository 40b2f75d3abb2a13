import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from activities.orders.keys import public_bytes
from api.cli.main import app
from api.dependencies import ApiDependencies
from api.examples import ALERT
from api.tokens import Tokens
from playbooks.gates import Gate
from tests.activities.ledger.making import record, workload
from tests.api.conftest import SECRETS
from tests.api.temporal import FakeTemporal
from tests.api.test_evidence import ITEM, PACKETS, register

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIREBREAK_STATE_DIR", str(tmp_path))
    for name in ("FIREBREAK_URL", "FIREBREAK_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERM": "dumb", **environment})

    return invoke


@pytest.fixture
def asked(run: Run, served: str, tmp_path: Path) -> Run:
    """Runs a command as an administrator against the served API."""
    token = Tokens(tmp_path).create("root", ("admin",)).token
    return lambda *arguments: run(*arguments, FIREBREAK_URL=served, FIREBREAK_TOKEN=token)


def test_an_alert_is_signed_sent_listed_and_shown(asked: Run, tmp_path: Path) -> None:
    file = tmp_path / "alert.json"
    file.write_text(json.dumps(ALERT))
    sent = asked("alerts", "send", str(file), "--source", "siem", "--json")
    assert sent.exit_code == 0, sent.output
    incident_id = json.loads(sent.stdout)["incident_id"]
    listed = json.loads(asked("incidents", "list", "--host", "web", "--json").stdout)
    assert [item["incident_id"] for item in listed["items"]] == [incident_id]
    assert incident_id in asked("incidents", "list").stdout
    assert ALERT["rule"]["name"] in asked("incidents", "show", incident_id).stdout


def test_a_secret_from_the_environment_signs_too(asked: Run, tmp_path: Path) -> None:
    file = tmp_path / "alert.json"
    file.write_text(json.dumps(ALERT))
    sent = asked("alerts", "send", str(file), "--source", "siem", "--secret", SECRETS[1])
    assert sent.exit_code == 1
    assert "signature was not accepted" in sent.stderr


def test_what_an_alert_says_does_not_reach_the_terminal_as_a_command(asked: Run, dependencies: ApiDependencies) -> None:
    dependencies.ledger.incidents.record(record("inc-1", 1, "\x1b[2J[red]gone[/red]", title="\x1b]0;owned\x07[bold]x"))
    shown = asked("incidents", "show", "inc-1").stdout + asked("incidents", "list").stdout
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert "[red]gone[/red]" in shown
    assert "[bold]x" in shown


def test_a_refusal_is_a_sentence_a_hint_and_exit_code_one(run: Run, served: str) -> None:
    refused = run("incidents", "list", FIREBREAK_URL=served, FIREBREAK_TOKEN="fb_wrong")
    assert refused.exit_code == 1
    assert "unknown, revoked or expired" in refused.stderr
    assert "firebreak token create" in refused.stderr
    assert "Traceback" not in refused.output


def test_an_api_that_is_away_is_named(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = run("hosts", "list", FIREBREAK_URL=f"http://127.0.0.1:{port}")
    assert away.exit_code == 1
    assert f"http://127.0.0.1:{port} does not answer" in away.stderr.replace("\n", " ")


def test_tokens_are_made_listed_and_revoked_on_the_node(run: Run) -> None:
    made = run("token", "create", "alice", "--role", "approver", "--role", "break-glass", "--days", "30")
    assert made.stdout.startswith("fb_")
    assert made.stdout.count("\n") == 1
    (entry,) = json.loads(run("token", "list", "--json").stdout)
    assert (entry["name"], entry["roles"]) == ("alice", ["approver", "break-glass"])
    assert "sha256" not in entry
    assert run("token", "revoke", "alice").exit_code == 0
    assert run("token", "revoke", "alice").exit_code == 1


def test_sources_are_added_rotated_and_listed_without_their_secrets(run: Run) -> None:
    made = run("source", "add", "edge")
    assert made.stdout.startswith("whsec_")
    assert run("source", "rotate", "edge").stdout.startswith("whsec_")
    listed = run("source", "list", "--json").stdout
    assert {entry["name"]: entry["secrets"] for entry in json.loads(listed)}["edge"] == 2
    assert made.stdout.strip() not in listed
    assert run("source", "add", "edge").exit_code == 1


def test_join_tokens_are_made_over_the_api(asked: Run, dependencies: ApiDependencies) -> None:
    made = asked("join-token", "create", "rack-7", "--uses", "2")
    assert made.exit_code == 0, made.output
    dependencies.ledger.join_tokens.join(made.stdout.strip(), workload(), bytes(32))
    assert "id-web" in asked("hosts", "list").stdout


def test_the_audit_chain_is_verified_over_the_api(asked: Run, dependencies: ApiDependencies) -> None:
    dependencies.ledger.audit.append(kind="started", actor="workflow", body={})
    assert json.loads(asked("audit", "verify", "--json").stdout)["events"] == 1
    assert asked("audit", "verify").exit_code == 0


def test_a_decision_shows_the_plan_and_is_bound_to_it(
    asked: Run, gate: Gate, temporal: FakeTemporal, dependencies: ApiDependencies
) -> None:
    decided = asked("incidents", "decide", "inc-1", gate.gate_id, "--approve", "--reason", "Not ours.")
    assert decided.exit_code == 0, decided.output
    assert gate.plan[0] in decided.stderr
    (decision,) = temporal.gates[gate.gate_id].decisions
    assert (decision.plan_hash, decision.actor, decision.reason) == (gate.plan_hash, "user:root", "Not ours.")


def test_release_is_told_to_the_workflow(asked: Run, dependencies: ApiDependencies, temporal: FakeTemporal) -> None:
    dependencies.ledger.incidents.record(record("inc-1", 1))
    temporal.running.add("incident-inc-1")
    assert asked("incidents", "release", "inc-1", "--reason", "repaired").exit_code == 0
    assert [taken.name for taken in temporal.taken.values()] == ["release"]


def test_watching_ends_when_the_incident_is_closed(asked: Run, dependencies: ApiDependencies) -> None:
    dependencies.ledger.incidents.record(record("inc-1", 1, "isolated", "released", status="closed", stage="closed"))
    watched = asked("incidents", "watch", "inc-1")
    assert watched.exit_code == 0
    assert watched.stdout.index("isolated") < watched.stdout.index("released")


def test_evidence_is_fetched_checked_and_never_overwrites(
    asked: Run, dependencies: ApiDependencies, host_key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    dependencies.ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    dependencies.ledger.incidents.record(record("inc-1", 1))
    digest = hashlib.sha256(PACKETS).hexdigest()
    register(
        dependencies,
        dependencies.vault.put_stream("inc-1", ITEM, "ring.pcapng", [PACKETS], sha256=digest),
    )
    fetch = ("evidence", "get", "inc-1", ITEM, "--purpose", "court order 7")
    fetched = asked(*fetch)
    assert fetched.exit_code == 0, fetched.output
    assert (tmp_path / "ring.pcapng").read_bytes() == PACKETS
    assert asked(*fetch).exit_code == 1
    assert not (tmp_path / "ring.pcapng.partial").exists()
    assert ITEM in asked("evidence", "list", "inc-1").stdout
    assert asked("evidence", "verify", "inc-1").exit_code == 0
    assert asked("evidence", "verify", str(dependencies.vault_dir / "case" / "inc-1")).exit_code == 0


def test_a_broken_playbook_is_named_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: broken\ntitle: Broken\nmatch: 7\n")
    checked = run("playbooks", "check", str(tmp_path))
    assert checked.exit_code == 1
    assert "broken.yaml:3:" in checked.stderr
    assert run("playbooks", "check").exit_code == 0
