"""`firebreak demo`: an intruder in a lab, stopped by the product as users run it.

Owns the story and its measurements. Everything goes through the doors that users have: the webhook, the API with a
token, the command line. Leaves `summary.json` and `report.html` behind, and nothing else.
"""

import json
import shutil
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from lab import cast
from lab.analyst import PATIENCE_SECONDS, Analyst, closed, gate_is_open, proven, waits_for_release
from lab.captures import check_captures
from lab.control import ControlPlane
from lab.errors import LabError
from lab.floor import measure_floor
from lab.hops import hops_ms
from lab.narrator import Narrator
from lab.network import Lab
from lab.prober import Prober
from lab.sent import webhook_sent_at
from lab.summary import Cut, EvidenceFigures, Result, Summary, shortcomings
from segmentation.workloads import Workload

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
        made = self._control.cli("token", "create", "analyst", "--role", "approver", "--json")
        token = json.loads(made.stdout)["token"]
        with Prober(self._lab) as prober, self._control.client(token) as api:
            analyst = Analyst(api, self._control.url, token, self._narrator, self._directory / "state")
            cast.start_bystander(self._lab)
            with self._narrator.step(
                "An intruder takes `web`: one session to `app` stands, `db` refuses it again and again"
            ):
                intruder = cast.start_intruder(self._lab)
            incident_id = analyst.wait_for_incident()
            incident = analyst.follow(incident_id, proven, "the proof")
            analyst.follow(incident_id, gate_is_open, "the remediation gate")
            seen = prober.report(until_ns=time.time_ns())
            analyst.decide(incident_id, pause=pause)
            patience = PAUSE_SECONDS if pause else PATIENCE_SECONDS
            analyst.follow(incident_id, waits_for_release, "the repair", seconds=patience)
            bystanders = self._bystanders_are_fine()
            ended = intruder.poll() is not None
            analyst.release(incident_id)
            incident = analyst.follow(incident_id, closed, "the report")
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
                evidence=self._evidence(incident, analyst.verification(incident_id), seen.first_blocked_ns),
                intruder_ended=ended,
                released=_target(incident)["state"] == "released",
                restored=bool(_target(incident)["restored"]) and before == after,
                report=str(self._keep_report(analyst.report(incident_id))),
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

    def _evidence(self, incident: dict[str, Any], verdict: dict[str, Any], cut_ns: int | None) -> EvidenceFigures:
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

    def _keep_report(self, page: bytes) -> Path:
        path = self._directory / "report.html"
        path.write_bytes(page)
        return path


def _target(incident: dict[str, Any]) -> dict[str, Any]:
    return dict(incident["targets"][0])


def _result(cut: bool) -> Result:
    return "cut" if cut else "open"
