"""An incident as the workflows leave it: contained, proven, decided, released."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from activities.contracts.evidence import Acquisition, CollectedItem, EvidenceKind, Outcome, OutcomeState, Source
from activities.contracts.host import ProcessRef
from activities.contracts.incident import GateStatus, IncidentEvent, IncidentSnapshot, Stage, TargetStatus
from playbooks.alerts import Alert, ReceivedAlert
from playbooks.gates import Decision, Gate, GateSpec
from playbooks.host_isolation import (
    HostChange,
    HostObservation,
    Interface,
    IsolationIntent,
    LifelineEndpoint,
    plan_isolation,
)
from playbooks.proof import Aspect, Measurement, Result, conclude
from segmentation.workloads import Workload

START = datetime(2031, 5, 1, 12, 0, 0, 118_000, tzinfo=UTC)
REPAIR = "sha256:" + sha256(b"repair").hexdigest()
WEB = Workload(
    workload_id="4c4c4544-web",
    name="web",
    labels={"app": "shop", "tier": "front"},
    addresses=(ip_address("10.77.0.11"), ip_address("fd77::11")),
)


def after(milliseconds: float) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def alert(**more: Any) -> Alert:
    return Alert.model_validate(
        {
            "event": {"id": "repeated-denials.1", "severity": 73, "action": "denied"},
            "rule": {"name": "Repeated denied connections", "id": "repeated-denials"},
            "host": {"ip": ["10.77.0.11"]},
            "source": {"ip": "10.77.0.11"},
            "destination": {"ip": "10.77.0.13", "port": 5432},
            "threat": {"technique": [{"id": "T1021", "name": "Remote Services"}]},
            "message": "10.77.0.11 was denied 27 times on its way to 10.77.0.13 port 5432 by db",
            "evidence_ids": ["a1", "a2", "a3"],
        }
        | more
    )


def observation() -> HostObservation:
    return HostObservation(
        host_id=WEB.workload_id,
        boot_id="6f1f7c0e",
        kernel="6.1.0-18-amd64",
        netns_inode=4_026_532_288,
        interfaces=(Interface(name="eth0", ifindex=2), Interface(name="mgmt0", ifindex=3)),
        ruleset_digest="sha256:" + sha256(b"before").hexdigest(),
        base_chains=("inet filter input input 0",),
    )


def change() -> HostChange:
    lifeline = (
        LifelineEndpoint(purpose="temporal", address=ip_address("10.99.0.1"), port=7233),
        LifelineEndpoint(purpose="api", address=ip_address("10.99.0.1"), port=8000),
    )
    intent = IsolationIntent(
        incident_id="inc-8d5e957f2974",
        host_id=WEB.workload_id,
        lifeline=lifeline,
        lease_seconds=900,
        ends="open",
    )
    return plan_isolation(observation(), intent)


def measured(
    aspect: Aspect, result: Result, method: str, *, at: float, witness: str = "app", subject: str = "web"
) -> Measurement:
    return Measurement(
        aspect=aspect, result=result, method=method, witness=witness, subject=subject, measured_at=after(at)
    )


MEASUREMENTS = (
    measured("new", "cut", "tcp-connect 10.77.0.11:8080", at=512.4),
    measured("new", "cut", "tcp-connect 10.77.0.11:8080", at=509.1, witness="db"),
    measured("established", "cut", "silence 400 ms of 10.77.0.11", at=531.9),
    measured("ipv6", "cut", "tcp-connect [fd77::11]:8080", at=514.0),
    measured("ipv6", "cut", "tcp-connect [fd77::11]:8080", at=511.7, witness="db"),
    measured("lifeline", "open", "tcp-connect 10.99.0.1:7233", at=131.5, witness="web"),
    measured("lifeline", "open", "tcp-connect 10.99.0.1:8000", at=133.0, witness="web"),
    measured("bystander", "open", "tcp-connect 10.77.0.14:9000", at=140.2, subject="batch"),
    measured("bystander", "open", "tcp-connect 10.77.0.13:5432", at=139.9, subject="db"),
)


def target(**more: Any) -> TargetStatus:
    fields: dict[str, Any] = {
        "workload": WEB,
        "state": "released",
        "workflow_id": "inc-8d5e957f2974.contain.4c4c4544-web",
        "change": change(),
        "observation": observation(),
        "applied_at": after(43.2),
        "lease_until": after(900_043.2),
        "proof": conclude(MEASUREMENTS),
        "restored": True,
    }
    return TargetStatus(**(fields | more))


def item(
    rank: int,
    kind: EvidenceKind,
    name: str,
    *,
    state: OutcomeState = "collected",
    reason: str = "",
    **more: Any,
) -> CollectedItem:
    counters = {field: more.pop(field) for field in list(more) if field in Acquisition.model_fields}
    tool = {"tool": "dumpcap", "tool_version": "4.0.17"} if kind == "packets" else {"tool": "firebreak agent"}
    kept = state in {"collected", "truncated"}
    return CollectedItem(
        evidence_id=f"web.{name.partition('.')[0]}",
        kind=kind,
        name=name,
        media_type="application/octet-stream",
        size=more.pop("size", 18_234) if kept else 0,
        sha256=sha256(name.encode()).hexdigest() if kept else None,
        outcome=Outcome(state=state, reason=reason),
        source=Source(resource_id=WEB.workload_id, host="web"),
        acquisition=Acquisition(**(tool | {"started": after(60), "ended": after(210)} | counters)),
        volatility_rank=rank,
    )


def evidence() -> tuple[CollectedItem, ...]:
    return (
        item(1, "volatile", "sockets.json"),
        item(1, "volatile", "conntrack.json", size=2_311),
        item(2, "volatile", "processes.json", size=71_400),
        item(3, "volatile", "ruleset.json", size=9_120),
        item(
            4,
            "packets",
            "ring-01.pcapng",
            size=1_482_112,
            packets_captured=8_412,
            packets_received=8_412,
            packets_dropped_kernel=0,
            packets_dropped_interface=0,
        ),
        item(4, "packets", "capture.pcapng", size=204_800, packets_captured=731, packets_dropped_kernel=0),
        item(4, "ebpf-events", "events.jsonl", size=88_213, events=1_204, events_lost=0),
        item(5, "volatile", "neighbours.json", state="missing", reason="the time budget of 30 s was spent"),
    )


def gate() -> GateStatus:
    decision = Decision(
        gate_id="remediate.web",
        plan_hash=REPAIR,
        verdict="approve",
        actor="user:ada",
        roles=("approver",),
        reason="Same binary as in last week's case; the capture has what we need.",
    )
    asked = Gate(
        gate_id="remediate.web",
        incident_id="inc-8d5e957f2974",
        question="End the intruder's processes on web?",
        plan_hash=REPAIR,
        plan=("SIGKILL process group 4182: pid 4182 (www-data) /tmp/.x/crawl db 5432 3f1c9a0b77d2",),
        spec=GateSpec(),
        requested_by="workflow",
        opened_at=after(4_120),
        decisions=(decision,),
    )
    return GateStatus(gate=asked, workflow_id="inc-8d5e957f2974.remediate.4c4c4544-web", outcome="approved")


def snapshot(**more: Any) -> IncidentSnapshot:
    received = ReceivedAlert(
        webhook_id="repeated-denials.5a0c.3233",
        source="detections",
        signed=True,
        received_at=START,
        alert=more.pop("alert", None) or alert(),
    )
    fields: dict[str, Any] = {
        "incident_id": "inc-8d5e957f2974",
        "correlation_key": "workload:4c4c4544-web",
        "title": received.alert.rule.name,
        "stage": "learn",
        "severity": 73,
        "playbook": "lateral-movement",
        "alerts": 14,
        "first_alert": received,
        "opened_at": after(9),
        "updated_at": after(184_900),
        "corroborated": True,
        "targets": (target(),),
        "gates": (gate(),),
        "intruders": (intruder(),),
        "evidence": evidence(),
        "remediation": "done: ended pids 4182; no member is left",
    }
    return IncidentSnapshot(**(fields | more))


def intruder() -> ProcessRef:
    return ProcessRef(
        pid=4182,
        pgid=4182,
        start_ticks=88_123,
        executable="/tmp/.x/crawl",
        executable_sha256=sha256(b"crawl").hexdigest(),
        command=("/tmp/.x/crawl", "--target", "10.77.0.13:5432"),
        user="www-data",
        sockets=("10.77.0.12:8080", "[fd77::13]:5432"),
    )


def timeline() -> Sequence[IncidentEvent]:
    def event(
        at: float, stage: Stage, kind: str, summary: str, actor: str = "workflow", **details: str
    ) -> IncidentEvent:
        return IncidentEvent(at=after(at), stage=stage, kind=kind, actor=actor, summary=summary, details=dict(details))

    return [
        event(9, "detect", "alert-received", "Repeated denied connections from detections."),
        event(9, "triage", "triaged", "Targets: web. Playbook: lateral-movement."),
        event(43.2, "contain", "isolation-applied", "web was cut off.", "agent:web"),
        event(61, "contain", "target-isolated", "web is isolated."),
        event(540, "contain", "target-isolated", "web is isolated, effective."),
        event(3_900, "forensics", "evidence-collected", "8 items collected."),
        event(4_120, "remediate", "gate-opened", "End the intruder's processes on web?"),
        event(
            96_400,
            "remediate",
            "decision",
            "ada decided approve on remediate.web.",
            "user:ada",
            plan_hash=REPAIR,
        ),
        event(96_404, "remediate", "gate-closed", "remediate.web is approved."),
        event(96_611, "remediate", "remediation-done", "ended pids 4182; no member is left"),
        event(184_310, "release", "release-requested", "Clean again.", "user:ada"),
        event(184_402, "release", "target-released", "web is released."),
    ]
