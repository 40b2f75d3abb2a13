"""A lab with a control plane and agents, as the end-to-end tests hold it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lab.control import ControlPlane
from lab.errors import LabError
from lab.network import Lab
from lab.webhook import Sender
from tests.end_to_end.playbooks import write_playbooks

Incident = dict[str, Any]


@dataclass
class World:
    """One lab, one control plane, four agents."""

    lab: Lab
    control: ControlPlane
    environment: dict[str, str]
    sender: Sender

    @classmethod
    def create(
        cls, lab: Lab, state_dir: Path, hosts: tuple[str, ...] = (), platforms: dict[str, str] | None = None
    ) -> "World":
        """Start it all; `platforms` are the settings by which it reaches a cluster and an account."""
        playbooks = write_playbooks(state_dir / "playbooks")
        control = ControlPlane(lab, state_dir / "control")
        environment = {"FIREBREAK_PLAYBOOK_DIR": str(playbooks), **(platforms or {})}
        control.start(environment=environment)
        control.join_agents(hosts or None)
        return cls(lab, control, environment, Sender.create(control, "tests"))

    def up(self) -> None:
        """Start the control plane again on its state."""
        self.control.start(environment=self.environment)

    def alert(self, rule: str, host: str = "web") -> str:
        """Post an alert; returns its incident."""
        return self.sender.send(rule=rule, host=host, destination=self.lab["db"].ipv4)[1]

    def incident(self, incident_id: str) -> Incident:
        """The incident as the API shows it."""
        with self.control.client() as api:
            answer: Incident = api.get(f"/v1/incidents/{incident_id}").raise_for_status().json()
        return answer

    def until(self, incident_id: str, condition: Callable[[Incident], bool], seconds: float = 30) -> Incident:
        """Wait until the incident is as wanted."""
        deadline = time.monotonic() + seconds
        incident: Incident = {}
        while time.monotonic() < deadline:
            try:
                incident = self.incident(incident_id)
            except httpx.TransportError:  # the API may be restarting
                incident = {}
            if incident and condition(incident):
                return incident
            time.sleep(0.05)
        kinds = [event["kind"] for event in incident.get("timeline", [])]
        raise LabError(f"incident {incident_id} is in {incident.get('stage')}; so far: {kinds}")

    def release(self, incident_id: str, reason: str = "tested") -> Incident:
        """Release and wait until it is closed."""
        with self.control.client() as api:
            api.post(f"/v1/incidents/{incident_id}/release", json={"reason": reason}).raise_for_status()
        return self.until(incident_id, closed)

    def is_cut(self) -> bool:
        """Whether `web` can't reach `app`, by a new connection."""
        probe = f"import socket; socket.create_connection(('{self.lab['app'].ipv4}', 8080), 0.5).close()"
        return self.lab["web"].run(["python3", "-S", "-c", probe], check=False).returncode != 0


def proven(incident: Incident) -> bool:
    """The target's containment has been judged."""
    return bool(incident["targets"]) and incident["targets"][0]["proof"] is not None


def waits_for_release(incident: Incident) -> bool:
    """Everything but the release is done."""
    return incident["stage"] == "release" and "release" in incident["waiting_for"]


def closed(incident: Incident) -> bool:
    """It is over."""
    return bool(incident["status"] == "closed")


def gate_open(incident: Incident) -> bool:
    """Somebody is asked."""
    return any(gate["outcome"] is None for gate in incident["gates"])


def kinds(incident: Incident) -> list[str]:
    """The timeline in short."""
    return [event["kind"] for event in incident["timeline"]]
