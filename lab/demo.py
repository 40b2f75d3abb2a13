"""`firebreak demo`: an intruder in a lab, stopped by the product as users run it.

Owns the story and its measurements. Everything goes through the doors that users have: the webhook, the API with a
token, the command line. Leaves `summary.json` and `report.html` behind, and nothing else.
"""

import json
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from lab import cast
from lab.captures import check_captures
from lab.control import ControlPlane
from lab.errors import LabError
from lab.floor import measure_floor
from lab.hops import hops_ms
from lab.narrator import Narrator
from lab.network import Lab
from lab.prober import Prober
from lab.sent import webhook_sent_at
from lab.summary import Cut, EvidenceFigures, Result, Summary
from lab.waiting import wait_until
from segmentation.workloads import Workload

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 3600.0


def run_demo(directory: Path, *, pause: bool, narrator: Narrator | None = None) -> int:
    """Run it; 0 if everything that the demo claims was seen, 1 if something was not."""
    narrator = narrator or Narrator()
    directory = directory.resolve()
    shutil.rmtree(directory / "state", ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    narrator.title(
        "Firebreak", "An intruder on `web` wants `db`. Real packets, a real workflow engine, a real capture."
    )
    with Lab.create("fbdemo", state_dir=directory / "state" / "hosts") as lab:
        summary = Demo(lab, directory, narrator).run(pause=pause)
    summary.write(directory / "summary.json")
    narrator.summary(summary)
    missed = shortcomings(summary)
    for line in missed:
        narrator.say(f"[red]✗ {line}")
    return 1 if missed else 0


def shortcomings(summary: Summary) -> list[str]:
    """What the demo claims and this run did not show."""
    claims = {
        "every kind of traffic is cut": set(summary.cut.model_dump().values()) == {"cut"},
        "the containment is proven by peers": summary.proof == "effective",
        "the lifeline lives": summary.lifeline == "open",
        "bystanders are not disturbed": summary.bystanders == "open",
        "every item of evidence verifies": 0 < summary.evidence.items == summary.evidence.verified,
        "packets were captured": summary.evidence.packets > 0,
        "every capture agrees with its manifest": 0
        < summary.evidence.captures.captures
        == summary.evidence.captures.agreeing,
        "the intruder was captured before the cut": summary.evidence.captures.before_the_cut > 0,
        "eBPF events were recorded": summary.evidence.ebpf_events > 0,
        "the intruder was ended": summary.intruder_ended,
        "the isolation was released": summary.released,
        "the ruleset is the one before": summary.restored,
    }
    return [claim for claim, seen in claims.items() if not seen]


class Demo:
    """One run of the story in one lab."""

    def __init__(self, lab: Lab, directory: Path, narrator: Narrator) -> None:
        self._lab = lab
        self._directory = directory
        self._narrator = narrator
        self._control = ControlPlane(lab, directory / "state" / "control", detect_every=1)
        self._started = time.monotonic()

    def run(self, *, pause: bool) -> Summary:
        """From the first service to the report."""
        floor = self._set_the_stage()
        before = self._ruleset()
        analyst = json.loads(self._control.cli("token", "create", "analyst", "--role", "approver", "--json").stdout)
        with Prober(self._lab) as prober, self._control.client(analyst["token"]) as api:
            cast.start_bystander(self._lab)
            with self._narrator.step(
                "An intruder takes `web`: one session to `app` stands, `db` refuses it again and again"
            ):
                intruder = cast.start_intruder(self._lab)
            incident_id = self._wait_for_incident(api)
            incident = self._follow(api, incident_id, _proven, "the proof")
            self._follow(api, incident_id, _gate_is_open, "the remediation gate")
            seen = prober.report(until_ns=time.time_ns())
            self._decide(api, incident_id, analyst["token"], pause=pause)
            self._follow(
                api, incident_id, _waits_for_release, "the repair", seconds=PAUSE_SECONDS if pause else PATIENCE_SECONDS
            )
            bystanders = self._bystanders_are_fine()
            ended = intruder.poll() is not None
            self._release(api, incident_id)
            incident = self._follow(api, incident_id, _closed, "the report")
            after = self._ruleset()
            hops = self._time_to_contain(incident, seen.first_blocked_ns)
            return Summary(
                time_to_contain_ms=sum(hops.values()),
                hops_ms=hops,
                durable_floor_ms=median(floor),
                prober_packets_per_second=seen.rate_per_second,
                cut=Cut(
                    new=_result(seen.cut.new), established=_result(seen.cut.established), ipv6=_result(seen.cut.ipv6)
                ),
                lifeline=_target(incident)["proof"]["lifeline"],
                bystanders="open" if bystanders else "cut",
                proof=_target(incident)["proof"]["verdict"],
                evidence=self._evidence(api, incident, seen.first_blocked_ns),
                intruder_ended=ended,
                released=_target(incident)["state"] == "released",
                restored=bool(_target(incident)["restored"]) and before == after,
                report=str(self._keep_report(api, incident_id)),
                incident=incident_id,
                seconds=time.monotonic() - self._started,
            )

    def _set_the_stage(self) -> list[float]:
        with self._narrator.step("Services and denial logs on web, app, db and batch"):
            cast.start_services(self._lab)
            cast.start_denials(self._lab)
        with self._narrator.step("Control plane: Temporal, SIEM, API, worker"):
            self._control.start()
        with self._narrator.step("An agent joins on every host, its flight recorder running"):
            self._control.join_agents()
        with self._narrator.step("Measuring the durable floor: twenty empty durable orders"):
            return measure_floor(
                self._control.state_dir, self._control.node()["temporal_address"], self._workload("web")
            )

    def _workload(self, name: str) -> Workload:
        host = self._lab[name]
        return Workload(workload_id=host.machine_id, name=name)

    def _ruleset(self) -> str:
        return self._lab["web"].run(["nft", "-s", "list", "ruleset"]).stdout

    def _wait_for_incident(self, api: httpx.Client) -> str:
        found: list[str] = []

        def look() -> bool:
            time.sleep(0.2)  # looking must not compete with what is looked at
            found.extend(item["incident_id"] for item in _ok(api.get("/v1/incidents"))["items"])
            return bool(found)

        with self._narrator.step("The detection asks the SIEM and posts a signed webhook"):
            wait_until(look, PATIENCE_SECONDS, "an incident")
        return found[0]

    def _follow(
        self,
        api: httpx.Client,
        incident_id: str,
        until: Callable[[dict[str, Any]], bool],
        what: str,
        seconds: float = PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        """Show the timeline until a condition holds; returns the incident as it then was."""
        deadline = time.monotonic() + seconds
        with self._narrator.console.status(f"waiting for {what}") as status:
            while True:
                incident = _ok(api.get(f"/v1/incidents/{incident_id}"))
                self._narrator.events(incident)
                if until(incident):
                    return incident
                if time.monotonic() > deadline:
                    raise LabError(
                        f"{what} did not come within {seconds:.0f} s; the incident is in {incident['stage']}",
                        hint=f"Logs are in {self._directory / 'state'}.",
                    )
                status.update(f"[bold]{incident['stage']}[/] waiting for {incident['waiting_for'] or what}")
                time.sleep(0.1)

    def _decide(self, api: httpx.Client, incident_id: str, token: str, *, pause: bool) -> None:
        gate = _gate(_ok(api.get(f"/v1/incidents/{incident_id}")))
        if pause:
            self._explain(incident_id, gate, token)
            return
        body = {
            "gate_id": gate["gate_id"],
            "plan_hash": gate["plan_hash"],
            "verdict": "approve",
            "reason": "This is the intruder, and nothing else.",
        }
        _ok(api.post(f"/v1/incidents/{incident_id}/decisions", json=body))

    def _explain(self, incident_id: str, gate: dict[str, Any], token: str) -> None:
        url = f"{self._control.url}/v1/incidents/{incident_id}/decisions"
        body = json.dumps(
            {"gate_id": gate["gate_id"], "plan_hash": gate["plan_hash"], "verdict": "approve", "reason": "..."}
        )
        self._narrator.say(f"\n[bold yellow]{gate['question']}[/]")
        for line in gate["plan"]:
            self._narrator.console.print(f"  {line}", markup=False)
        self._narrator.say("\nDecide in another terminal, by command:\n")
        command = f"firebreak incidents decide {incident_id} {gate['gate_id']} --approve --reason '...'"
        self._narrator.console.print(
            f"  FIREBREAK_URL={self._control.url} FIREBREAK_TOKEN={token} {command}", markup=False, soft_wrap=True
        )
        self._narrator.say("\nor by curl:\n")
        curl = f"  curl -sS -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{body}' {url}"
        self._narrator.console.print(curl, markup=False, soft_wrap=True)

    def _release(self, api: httpx.Client, incident_id: str) -> None:
        with self._narrator.step("The analyst releases `web`"):
            _ok(api.post(f"/v1/incidents/{incident_id}/release", json={"reason": "The intruder is gone."}))

    def _bystanders_are_fine(self) -> bool:
        """Whether the honest jobs of `batch` were served all along."""
        status = cast.bystander_status(self._lab)
        return cast.is_undisturbed(status)

    def _time_to_contain(self, incident: dict[str, Any], first_blocked_ns: int | None) -> dict[str, float]:
        """Milliseconds from the webhook to the first blocked packet, by hop."""
        if first_blocked_ns is None:
            raise LabError("the prober saw no packet blocked", hint=f"Logs are in {self._directory / 'state'}.")
        address, alert = self._control.node()["temporal_address"], incident["first_alert"]
        sent = webhook_sent_at(self._control.state_dir, address, alert["webhook_id"])
        return hops_ms(
            self._control.state_dir,
            address,
            f"incident-{incident['incident_id']}",
            int(sent.timestamp() * 1e9),
            datetime.fromisoformat(alert["received_at"]),
            first_blocked_ns,
        )

    def _evidence(self, api: httpx.Client, incident: dict[str, Any], cut_ns: int | None) -> EvidenceFigures:
        verdict = _ok(api.get(f"/v1/incidents/{incident['incident_id']}/evidence/verification"))
        acquired = [item["acquisition"] for item in incident["evidence"]]
        dropped = [(a["packets_dropped_kernel"] or 0) + (a["packets_dropped_interface"] or 0) for a in acquired]
        return EvidenceFigures(
            items=verdict["items"],
            verified=verdict["verified"],
            packets=sum(a["packets_captured"] or 0 for a in acquired),
            packets_dropped=sum(dropped),
            ebpf_events=sum(a["events"] or 0 for a in acquired),
            captures=check_captures(incident, self._lab["web"].ipv4, self._lab["db"].ipv4, cut_ns),
        )

    def _keep_report(self, api: httpx.Client, incident_id: str) -> Path:
        answer = api.get(f"/v1/incidents/{incident_id}/report")
        answer.raise_for_status()
        path = self._directory / "report.html"
        path.write_bytes(answer.content)
        return path


def _ok(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise LabError(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text}"
        )
    return dict(answer.json())


def _target(incident: dict[str, Any]) -> dict[str, Any]:
    return dict(incident["targets"][0])


def _proven(incident: dict[str, Any]) -> bool:
    return bool(incident["targets"]) and incident["targets"][0]["proof"] is not None


def _gate_is_open(incident: dict[str, Any]) -> bool:
    return any(status["outcome"] is None for status in incident["gates"])


def _gate(incident: dict[str, Any]) -> dict[str, Any]:
    return dict(next(status["gate"] for status in incident["gates"] if status["outcome"] is None))


def _waits_for_release(incident: dict[str, Any]) -> bool:
    return incident["stage"] == "release" and "release" in incident["waiting_for"]


def _closed(incident: dict[str, Any]) -> bool:
    return bool(incident["status"] == "closed")


def _result(cut: bool) -> Result:
    return "cut" if cut else "open"
