"""Who plays in the lab: services, the bystander, the intruder, the denial loggers.

Owns starting them and waiting until each is really there. Never stops them: they end with the lab.

    start_services(lab); start_denials(lab); start_bystander(lab); start_intruder(lab)
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from lab import denials
from lab.errors import LabError
from lab.host import LabHost
from lab.network import Lab
from lab.services import PORTS
from lab.waiting import wait_until

_START_SECONDS = 10.0
_LISTEN = "0A"


def start_services(lab: Lab) -> None:
    """Start the services of `app`, `db` and `web`; returns when all accept on IPv4 and IPv6."""
    for role in PORTS:
        command = [sys.executable, "-m", "lab.services", "--role", role]
        lab[role].popen(command, log=lab[role].state_dir / "service.log")
    for role, port in PORTS.items():
        wait_until(partial(_accepts, lab[role], port), _START_SECONDS, f"the service of {role}")


def start_bystander(lab: Lab) -> subprocess.Popen[bytes]:
    """Start the honest jobs of `batch`; returns when every service has answered once."""
    status = bystander_status_file(lab)
    status.unlink(missing_ok=True)
    command = [sys.executable, "-m", "lab.bystander", "--status", str(status)]
    bystander = lab["batch"].popen(command, log=status.with_suffix(".log"))
    wait_until(partial(_is_served, status), _START_SECONDS, "answers to the bystander's requests")
    return bystander


def bystander_status_file(lab: Lab) -> Path:
    """Where the bystander says how it is doing."""
    return lab["batch"].state_dir / "bystander.jsonl"


def bystander_status(lab: Lab) -> dict[str, Any]:
    """The latest line of the bystander; its keys are in `lab.bystander`."""
    return _latest(bystander_status_file(lab)).get("bystander", {})


def is_undisturbed(status: dict[str, Any]) -> bool:
    """Whether every request to hosts that were not contained was answered; those to `web` may fail."""
    others = [requests for service, requests in status.items() if service in PORTS and service != "web"]
    return bool(others) and all(r["asked"] > 0 and r["failed"] == 0 for r in others)


def start_denials(lab: Lab) -> None:
    """Start ulogd on every host."""
    for host in lab.hosts.values():
        denials.start(host)


def start_intruder(lab: Lab) -> subprocess.Popen[bytes]:
    """Set the intruder on `web`; returns when its sessions stand. Its pid leads its process group."""
    status = intruder_status_file(lab)
    status.unlink(missing_ok=True)  # what an earlier one did is not this one's doing
    command = [sys.executable, "-m", "lab.intruder", "--status", str(status)]
    intruder = lab["web"].popen(command, log=status.with_suffix(".log"))
    wait_until(lambda: _has_foothold(status, intruder), _START_SECONDS, "the intruder's sessions to app")
    return intruder


def intruder_status_file(lab: Lab) -> Path:
    """Where the intruder says how it is doing."""
    return lab["web"].state_dir / "intruder.jsonl"


def intruder_status(lab: Lab) -> dict[str, dict[str, Any]]:
    """The latest line of each of the intruder's processes, by `who`: `foothold` and `lateral`."""
    return _latest(intruder_status_file(lab))


def _latest(status: Path) -> dict[str, dict[str, Any]]:
    if not status.exists():
        return {}
    # A line without its end is still being written.
    lines = status.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return {line["who"]: line for line in map(json.loads, lines)}


def _has_foothold(status: Path, intruder: subprocess.Popen[bytes]) -> bool:
    if intruder.poll() is not None:
        log = status.with_suffix(".log")
        raise LabError(f"the intruder ended with {intruder.returncode}", hint=f"See {log}.")
    latest = _latest(status)
    foothold = latest.get("foothold")
    sessions = foothold is not None and all(foothold[family]["echoed"] for family in ("ipv4", "ipv6"))
    return sessions and "lateral" in latest


def _is_served(status: Path) -> bool:
    latest = _latest(status).get("bystander")
    return latest is not None and all(latest[service]["last_answer_ns"] for service in PORTS)


def _accepts(host: LabHost, port: int) -> bool:
    """Whether something listens on the port for IPv4 and for IPv6, by the kernel's own tables."""

    def tables() -> list[str]:
        folder = Path("/proc/thread-self/net")
        return [(folder / name).read_text(encoding="ascii") for name in ("tcp", "tcp6")]

    return all(_is_listening(table, port) for table in host.call(tables))


def _is_listening(table: str, port: int) -> bool:
    rows = (line.split() for line in table.splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == _LISTEN for row in rows)
