"""The units that a host runs: their rights are those that the code declares, and their order is what a reboot needs."""

import importlib
import pkgutil
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

import activities.host
from activities.host import namespaces, nft
from activities.host.killswitch import HostKillswitch
from api.cli.main import app

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
AGENT, REAPPLY = UNITS / "firebreak-agent.service", UNITS / "firebreak-reapply.service"
PROGRAM = "/opt/firebreak/bin/firebreak"
# What nothing needs, and everything uses where it may.
PRIORITY = "CAP_SYS_NICE"
HARDENED = {
    "NoNewPrivileges": "yes",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectControlGroups": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}

Unit = dict[tuple[str, str], list[str]]


def parsed(path: Path) -> Unit:
    """Every value of each section and key; a line that is none fails."""
    found: Unit = defaultdict(list)
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, separator, value = line.partition("=")
        assert separator, line
        found[section, key].append(value)
    return found


def words(unit: Unit, section: str, key: str) -> set[str]:
    return {word for value in unit[section, key] for word in value.split()}


def declared() -> set[str]:
    """Every right that a module of the agent declares beside its code."""
    modules = [
        importlib.import_module(f"activities.host.{m.name}") for m in pkgutil.iter_modules(activities.host.__path__)
    ]
    return {right for module in modules for right in getattr(module, "PERMISSIONS", ())}


def test_the_agent_has_the_rights_that_its_code_declares_and_no_others() -> None:
    verbs = {right for rights in HostKillswitch.PERMISSIONS.values() for right in rights}
    assert verbs <= declared()
    assert words(parsed(AGENT), "Service", "CapabilityBoundingSet") == declared()


def test_only_who_captures_in_other_namespaces_gets_the_right_to_enter_them() -> None:
    added = parsed(UNITS / "firebreak-agent.service.d" / "namespaces.conf")
    assert words(added, "Service", "CapabilityBoundingSet") == set(namespaces.NAMESPACE_PERMISSIONS)
    assert added["Service", "RestrictNamespaces"] == ["net"]
    assert "CAP_SYS_ADMIN" not in words(parsed(AGENT), "Service", "CapabilityBoundingSet")


def test_loading_again_takes_no_more_than_nftables_does() -> None:
    assert words(parsed(REAPPLY), "Service", "CapabilityBoundingSet") == {*nft.PERMISSIONS, PRIORITY}


def test_containments_are_loaded_before_there_is_a_network_and_after_whoever_flushes() -> None:
    unit = parsed(REAPPLY)
    assert unit["Unit", "DefaultDependencies"] == ["no"]
    assert "network-pre.target" in words(unit, "Unit", "Before") & words(unit, "Unit", "Wants")
    assert "nftables.service" in words(unit, "Unit", "After")
    assert unit["Service", "Type"] == ["oneshot"]
    assert words(unit, "Install", "WantedBy") == {"sysinit.target"}
    assert REAPPLY.name in words(parsed(AGENT), "Unit", "After") & words(parsed(AGENT), "Unit", "Wants")


def test_both_work_on_the_same_state() -> None:
    for unit in (parsed(AGENT), parsed(REAPPLY)):
        assert "FIREBREAK_STATE_DIR=/var/lib/firebreak-agent" in words(unit, "Service", "Environment")
    assert parsed(AGENT)["Service", "StateDirectory"] == ["firebreak-agent"]
    assert "/var/lib/firebreak-agent" in words(parsed(REAPPLY), "Unit", "RequiresMountsFor")


def test_a_capture_does_not_end_with_its_agent() -> None:
    assert parsed(AGENT)["Service", "KillMode"] == ["process"]


@pytest.mark.parametrize("path", [AGENT, REAPPLY], ids=lambda path: path.stem)
def test_a_unit_takes_away_what_the_agent_does_not_need(path: Path) -> None:
    unit = parsed(path)
    assert {key: unit["Service", key] for key in HARDENED} == {key: [value] for key, value in HARDENED.items()}


@pytest.mark.parametrize("path", [AGENT, REAPPLY], ids=lambda path: path.stem)
def test_a_unit_starts_a_command_that_there_is(path: Path) -> None:
    (start,) = parsed(path)["Service", "ExecStart"]
    program, *arguments = shlex.split(start)
    assert program == PROGRAM
    shown = CliRunner().invoke(app, [*arguments, "--help"])
    assert shown.exit_code == 0


@pytest.mark.parametrize("path", [AGENT, REAPPLY], ids=lambda path: path.stem)
def test_systemd_finds_nothing_wrong(path: Path, tmp_path: Path) -> None:
    for unit in (AGENT, REAPPLY):
        # The program is installed elsewhere here, and systemd looks whether it is there.
        installed = unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / unit.name).write_text(installed, encoding="utf-8")
    if shutil.which("systemd-analyze") is None:
        # A container: nothing here can judge the spelling of directives, everything else is judged above.
        assert not Path("/run/systemd/system").exists()
        return
    judged = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / path.name)], capture_output=True, text=True, check=False
    )
    assert (judged.returncode, judged.stderr) == (0, "")
