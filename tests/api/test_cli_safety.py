"""The command line around safety: the stop, answers for programs, join tokens that nobody else reads, slips."""

import json
from pathlib import Path

import pytest

from api.dependencies import ApiDependencies
from api.processes.agent import NotJoined, identify
from api.processes.joining import JoinTokenUnreadable, JoinUnreachable, read_token, save_identity
from api.settings import AgentSettings, SettingsInvalid, UpSettings, load
from api.tokens import Tokens
from playbooks.gates import Gate
from tests.activities.ledger.making import record, workload
from tests.api.processes.test_agent import NOBODY, identity
from tests.api.temporal import FakeTemporal
from tests.api.test_cli import Run, asked, run

__all__ = ["asked", "run"]  # fixtures


def test_the_stop_is_set_shown_and_lifted(asked: Run, dependencies: ApiDependencies) -> None:
    assert "off" in asked("stop", "show").stderr
    on = asked("stop", "on", "--reason", "the SIEM errs")
    assert on.exit_code == 0, on.output
    assert "THE GLOBAL STOP IS ON" in on.stderr
    assert "by root: the SIEM errs" in asked("stop", "show").stderr
    assert json.loads(asked("stop", "show", "--json").stdout)["actor"] == "user:root"
    assert asked("stop", "off").exit_code == 2  # why is not said
    assert json.loads(asked("stop", "off", "--reason", "repaired", "--json").stdout)["on"] is False
    assert not dependencies.ledger.stop.read().on


def test_whoever_lists_incidents_sees_that_the_stop_is_on(asked: Run) -> None:
    assert "STOP" not in asked("incidents", "list").stderr
    asked("stop", "on", "--reason", "the SIEM errs")
    for listed in (asked("incidents", "list"), asked("incidents", "list", "--json")):
        assert "THE GLOBAL STOP IS ON: nothing is contained that no person approves." in listed.stderr
        assert "STOP" not in listed.stdout


def test_a_responder_may_not_lift_the_stop(run: Run, served: str, tmp_path: Path) -> None:
    token = Tokens(tmp_path).create("ana", ("responder",)).token
    assert run("stop", "on", "--reason", "x", FIREBREAK_URL=served, FIREBREAK_TOKEN=token).exit_code == 0
    refused = run("stop", "off", "--reason", "x", FIREBREAK_URL=served, FIREBREAK_TOKEN=token)
    assert refused.exit_code == 1
    assert "this takes admin or break-glass" in refused.stderr


def test_doctor_says_loudly_that_the_stop_is_on(run: Run, dependencies: ApiDependencies) -> None:
    def found() -> dict[str, str]:
        findings: list[dict[str, str]] = json.loads(run("doctor", "--json").stdout)
        return next(finding for finding in findings if finding["name"] == "global stop")

    assert (found()["state"], found()["detail"]) == ("ok", "off")
    dependencies.ledger.stop.set(actor="user:ana", reason="the SIEM errs", now=record("inc-1", 1).snapshot.opened_at)
    stopped = found()
    assert stopped["state"] == "STOPPED"
    assert stopped["detail"].startswith("NOTHING IS CONTAINED AUTOMATICALLY: the global stop is on since")
    assert "STOPPED" in run("doctor").stdout


def test_doctor_names_a_safeguard_that_can_not_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "safeguards.yaml").write_text("limits: {per_hour: many}\n")
    told = run("doctor", "--json", FIREBREAK_SAFEGUARDS_FILE=str(tmp_path / "safeguards.yaml"))
    finding = next(f for f in json.loads(told.stdout) if f["name"] == "safeguards")
    assert finding["state"] == "missing"
    assert "safeguards.yaml:1:20: limits.per_hour: expected a whole number" in finding["detail"]


def test_decisions_releases_and_closings_answer_programs(
    asked: Run, gate: Gate, temporal: FakeTemporal, dependencies: ApiDependencies
) -> None:
    heard = {"incident_id": "inc-1", "status": "accepted"}
    decided = asked("incidents", "decide", "inc-1", gate.gate_id, "--approve", "--json")
    assert json.loads(decided.stdout) == heard
    assert json.loads(asked("incidents", "release", "inc-1", "--reason", "clean", "--json").stdout) == heard
    assert json.loads(asked("incidents", "close", "inc-1", "--reason", "clean", "--json").stdout) == heard


def test_forgetting_a_host_answers_programs(asked: Run, dependencies: ApiDependencies) -> None:
    dependencies.ledger.hosts.join(workload(), bytes(32))
    forgot = asked("hosts", "forget", "id-web", "--json")
    assert json.loads(forgot.stdout) == {"host_id": "id-web", "status": "forgotten"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tempral_address: x", ":2:1: tempral_address: expected a setting, found the unknown key 'tempral_address'"),
        ("tempral_address: x", "(did you mean temporal_address?)"),
        ("FIREBREAK_API_PORT: 1", "(did you mean api_port?)"),
        ("xyzzy: 1", "found the unknown key 'xyzzy'"),
        ("log_level: [", ":3:1: expected"),
        ("state_dir: again", "expected each field once"),
    ],
)
def test_a_key_of_the_settings_file_that_nobody_knows_is_named_with_the_nearest(
    tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "firebreak.yaml"
    file.write_text(f"state_dir: x\n{line}\n")
    with pytest.raises(SettingsInvalid) as refused:
        load(UpSettings, file)
    assert f"{file}:" in refused.value.summary
    assert said in refused.value.summary


def test_one_settings_file_serves_every_process(tmp_path: Path) -> None:
    file = tmp_path / "firebreak.yaml"
    file.write_text("# ours\napi_port: 1234\nurl: http://127.0.0.1:1\nrecorder: true\nlabels: {app: shop}\n")
    assert load(UpSettings, file).api_port == 1234
    assert load(AgentSettings, file).labels == {"app": "shop"}
    file.write_text("# nothing yet\n")
    assert load(UpSettings, file).api_port == 8080


def test_a_join_token_is_read_from_a_file_or_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("fbjoin_abc\n")
    assert read_token(file) == "fbjoin_abc"
    with file.open() as given:
        monkeypatch.setattr("sys.stdin", given)
        assert read_token(Path("-")) == "fbjoin_abc"
    file.write_text(" \n")
    with pytest.raises(JoinTokenUnreadable, match="holds no join token"):
        read_token(file)


def test_a_token_file_that_is_gone_keeps_a_new_host_out_and_no_old_one(tmp_path: Path) -> None:
    settings = load(AgentSettings, None, state_dir=tmp_path, host_id="h1", name="web")
    with pytest.raises(JoinTokenUnreadable, match="No join token can be read from"):
        identify(settings, NOBODY, tmp_path / "gone")
    save_identity(tmp_path, identity())
    assert identify(settings, NOBODY, tmp_path / "gone") == identity()


def test_the_token_in_the_file_is_what_the_agent_joins_with(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("fbjoin_abc\n")
    settings = load(AgentSettings, None, state_dir=tmp_path, host_id="h1", name="web")
    with pytest.raises(JoinUnreachable):
        identify(settings, NOBODY, tmp_path / "token")
    with pytest.raises(NotJoined, match="There is no identity"):
        identify(settings, None, tmp_path / "token")


def test_a_token_in_two_places_is_a_question(run: Run, tmp_path: Path) -> None:
    token = ("--token", "a", "--token-file", str(tmp_path / "token"))
    asked = run("agent", "--join", NOBODY, "--state-dir", str(tmp_path / "agent"), *token)
    assert asked.exit_code == 2
    assert "name one of --token" in asked.stderr
