"""A node that can't start says why before anything of it runs."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.processes.node_addresses import advertised_host, forwarded_ports
from api.processes.node_environment import environment_of
from api.processes.node_start import AlreadyUp, alone, prepare
from api.processes.platform_roles import role_environment, roles_of
from api.settings import Settings, SettingsInvalid, TargetWorkerSettings, UpSettings, load
from playbooks.loading import PlaybookInvalid


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def node(state_dir: Path, **chosen: object) -> UpSettings:
    ports: dict[str, object] = {"api_port": free_port(), "temporal_port": free_port()}
    return load(UpSettings, None, state_dir=state_dir, **(ports | chosen))


def test_a_second_node_on_the_same_state_is_refused(tmp_path: Path) -> None:
    settings = node(tmp_path)
    with alone(settings), pytest.raises(AlreadyUp, match="Another `firebreak up` runs"), alone(node(tmp_path)):
        pass
    with alone(settings):
        pass


def test_a_port_that_is_taken_is_named_with_the_option_that_changes_it(tmp_path: Path, busy_port: int) -> None:
    settings = node(tmp_path, temporal_port=busy_port)
    with pytest.raises(AlreadyUp, match=f"Port {busy_port} for temporal") as refused, alone(settings):
        pass
    assert "--temporal-port" in refused.value.hint


def test_a_broken_playbook_keeps_a_node_from_starting_and_says_where(tmp_path: Path) -> None:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "broken.yaml").write_text("name: broken\ntitle: Broken\nmatch: {rules: [x]}\ncontain: {ttl: 3}\n")
    with pytest.raises(PlaybookInvalid, match=r"broken.yaml:4:\d+: contain"):
        prepare(node(tmp_path / "state", playbook_dir=playbooks))
    assert not (tmp_path / "state").exists()


def test_first_start_makes_one_administrator_whose_token_nobody_else_may_read(tmp_path: Path) -> None:
    settings = node(tmp_path / "state")
    prepare(settings)
    token = tmp_path / "state" / "admin.token"
    first = token.read_text()
    assert token.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    prepare(settings)
    assert token.read_text() == first


def test_the_parts_are_given_every_setting_that_they_read(tmp_path: Path) -> None:
    # Each is taken from the environment alone: one that is forgotten here would silently be its default.
    given = environment_of(node(tmp_path, siem_url="http://127.0.0.1:9200", siem_api_key="k"))
    own = {"temporal_port", "siem_port"} | (TargetWorkerSettings.model_fields.keys() - Settings.model_fields.keys())
    wanted = {f"FIREBREAK_{name.upper()}" for name in UpSettings.model_fields if name not in own}
    assert wanted == given.keys()
    assert given["FIREBREAK_SIEM_API_KEY"] == "k"


def test_a_platforms_worker_is_given_its_own_settings_and_no_credentials_of_others(tmp_path: Path) -> None:
    settings = node(tmp_path, siem_api_key="k", clusters={"prod": "/etc/prod"}, aws_external_id="ours")
    given = role_environment(settings, "127.0.0.1:7233", "http://127.0.0.1:8080")
    assert given.keys() == {f"FIREBREAK_{name.upper()}" for name in TargetWorkerSettings.model_fields}
    assert given["FIREBREAK_CLUSTERS"] == '{"prod": "/etc/prod"}'
    assert roles_of(settings) == ("kubernetes", "aws")
    assert roles_of(node(tmp_path)) == ()


@pytest.mark.parametrize(
    ("bind", "advertised", "forwarded"),
    [("127.0.0.1", "127.0.0.1", 0), ("10.77.0.1", "10.77.0.1", 1)],
)
def test_hosts_are_told_the_address_that_the_node_listens_on(
    tmp_path: Path, bind: str, advertised: str, forwarded: int
) -> None:
    settings = node(tmp_path, bind=bind)
    assert advertised_host(settings) == advertised
    assert len(forwarded_ports(settings)) == forwarded


def test_listening_everywhere_needs_the_one_address_that_hosts_use(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="must be told one address"):
        prepare(node(tmp_path, bind="0.0.0.0"))  # noqa: S104
    assert advertised_host(node(tmp_path, bind="0.0.0.0", advertise_host="10.77.0.1")) == "10.77.0.1"  # noqa: S104
