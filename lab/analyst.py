"""The analyst of the demo: follows an incident, decides on it and lets its target go, by the API with a token.

Owns these requests, and what of an incident is waited for. Measures nothing.

    with control.client(token) as api:
        analyst = Analyst(api, control.url, token, narrator, logs)
        incident = analyst.follow(analyst.wait_for_incident(), proven, "the proof")
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from lab.errors import LabError
from lab.narrator import Narrator
from lab.waiting import wait_until

PATIENCE_SECONDS = 60.0


class Analyst:
    """Somebody with the role of an approver. `logs` is where to look when something does not come."""

    def __init__(self, api: httpx.Client, url: str, token: str, narrator: Narrator, logs: Path) -> None:
        self._api, self._url, self._token = api, url, token
        self._narrator, self._logs = narrator, logs

    def wait_for_incident(self) -> str:
        """The first incident that there is."""
        found: list[str] = []

        def look() -> bool:
            time.sleep(0.2)  # looking must not compete with what is looked at
            found.extend(item["incident_id"] for item in _ok(self._api.get("/v1/incidents"))["items"])
            return bool(found)

        with self._narrator.step("The detection asks the SIEM and posts a signed webhook"):
            wait_until(look, PATIENCE_SECONDS, "an incident")
        return found[0]

    def follow(
        self,
        incident_id: str,
        until: Callable[[dict[str, Any]], bool],
        what: str,
        seconds: float = PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        """Show the timeline until a condition holds; returns the incident as it then was."""
        deadline = time.monotonic() + seconds
        with self._narrator.console.status(f"waiting for {what}") as status:
            while True:
                incident = _ok(self._api.get(f"/v1/incidents/{incident_id}"))
                self._narrator.events(incident)
                if until(incident):
                    return incident
                if time.monotonic() > deadline:
                    raise LabError(
                        f"{what} did not come within {seconds:.0f} s; the incident is in {incident['stage']}",
                        hint=f"Logs are in {self._logs}.",
                    )
                status.update(f"[bold]{incident['stage']}[/] waiting for {incident['waiting_for'] or what}")
                time.sleep(0.1)

    def decide(self, incident_id: str, *, pause: bool) -> None:
        """Approve what the open gate asks; with `pause` somebody else is told how to."""
        gate = _gate(_ok(self._api.get(f"/v1/incidents/{incident_id}")))
        if pause:
            self._explain(incident_id, gate)
            return
        body = {
            "gate_id": gate["gate_id"],
            "plan_hash": gate["plan_hash"],
            "verdict": "approve",
            "reason": "This is the intruder, and nothing else.",
        }
        _ok(self._api.post(f"/v1/incidents/{incident_id}/decisions", json=body))

    def _explain(self, incident_id: str, gate: dict[str, Any]) -> None:
        url = f"{self._url}/v1/incidents/{incident_id}/decisions"
        body = json.dumps(
            {"gate_id": gate["gate_id"], "plan_hash": gate["plan_hash"], "verdict": "approve", "reason": "..."}
        )
        self._narrator.say(f"\n[bold yellow]{gate['question']}[/]")
        for line in gate["plan"]:
            self._narrator.console.print(f"  {line}", markup=False)
        self._narrator.say("\nDecide in another terminal, by command:\n")
        command = f"firebreak incidents decide {incident_id} {gate['gate_id']} --approve --reason '...'"
        self._narrator.console.print(
            f"  FIREBREAK_URL={self._url} FIREBREAK_TOKEN={self._token} {command}", markup=False, soft_wrap=True
        )
        self._narrator.say("\nor by curl:\n")
        curl = (
            f"  curl -sS -H 'Authorization: Bearer {self._token}' -H 'Content-Type: application/json' -d '{body}' {url}"
        )
        self._narrator.console.print(curl, markup=False, soft_wrap=True)

    def release(self, incident_id: str) -> None:
        """Let `web` go."""
        with self._narrator.step("The analyst releases `web`"):
            _ok(self._api.post(f"/v1/incidents/{incident_id}/release", json={"reason": "The intruder is gone."}))

    def verification(self, incident_id: str) -> dict[str, Any]:
        """Whether its evidence is what was collected."""
        return _ok(self._api.get(f"/v1/incidents/{incident_id}/evidence/verification"))

    def report(self, incident_id: str) -> bytes:
        """The page about it."""
        return self._api.get(f"/v1/incidents/{incident_id}/report").raise_for_status().content


def proven(incident: dict[str, Any]) -> bool:
    """The containment was measured, whatever the verdict."""
    return bool(incident["targets"]) and incident["targets"][0]["proof"] is not None


def gate_is_open(incident: dict[str, Any]) -> bool:
    """Somebody has to decide."""
    return any(status["outcome"] is None for status in incident["gates"])


def _gate(incident: dict[str, Any]) -> dict[str, Any]:
    return dict(next(status["gate"] for status in incident["gates"] if status["outcome"] is None))


def waits_for_release(incident: dict[str, Any]) -> bool:
    """It is repaired, and somebody has to let it go."""
    return incident["stage"] == "release" and "release" in incident["waiting_for"]


def closed(incident: dict[str, Any]) -> bool:
    """It is over."""
    return bool(incident["status"] == "closed")


def _ok(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise LabError(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text}"
        )
    return dict(answer.json())
