"""The control activities in memory: ledger, evidence register, SIEM, report; each incident has its own.

The real ones have their own tests. These keep what they are given, so that a test can read what reached them and
in which order.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from temporalio import activity

from activities.contracts.custody import (
    CaseVerdict,
    Registered,
    RegisterEvidence,
    SealCase,
    SealRef,
    TimestampSeal,
    VerifyCase,
)
from activities.contracts.incident import (
    CorroborateAlert,
    Corroboration,
    IncidentEvent,
    IncidentSnapshot,
    ReadStop,
    RecordIncident,
    RenderReport,
    Report,
    StopState,
)
from activities.contracts.siem import DetectionsRun, RunDetections

SEALED_AT = datetime(2031, 5, 1, 12, 30, tzinfo=UTC)


class Desk:
    """Everything that was asked of the control activities for one incident, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.records: list[RecordIncident] = []
        # What was brought again, beside what its number had brought.
        self.repeated: list[tuple[RecordIncident, RecordIncident]] = []
        self.registered: list[RegisterEvidence] = []
        self.sealed: list[SealCase] = []
        self.reported: list[RenderReport] = []
        self.stop = StopState()
        self.siem: bool | Exception | None = True
        self.troubles: dict[str, Exception] = {}
        self.has_authority = False
        # The name of items that are refused as somebody else's.
        self.refuses = ""
        self.changed = asyncio.Condition()

    @property
    def snapshot(self) -> IncidentSnapshot:
        """The projection as last written."""
        return self.records[-1].snapshot

    @property
    def timeline(self) -> list[IncidentEvent]:
        """Every event that was written."""
        return [event for record in self.records for event in record.events]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the timeline's lines."""
        return [event.kind for event in self.timeline]

    def said(self, kind: str) -> list[str]:
        """The summaries of one kind of line."""
        return [event.summary for event in self.timeline if event.kind == kind]

    async def until(self, met: Callable[[IncidentSnapshot], bool], seconds: float = 20) -> IncidentSnapshot:
        """Wait for a projection that meets a condition; one that was replaced since counts too."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(lambda: any(met(record.snapshot) for record in self.records))
        return next(record.snapshot for record in self.records if met(record.snapshot))


class FakeControl:
    """The control activities; what a test wants of them is said at `desk(incident_id)`."""

    def __init__(self) -> None:
        self._desks: dict[str, Desk] = defaultdict(Desk)
        self.detection_runs: list[RunDetections] = []

    def desk(self, incident_id: str) -> Desk:
        """What belongs to one incident."""
        return self._desks[incident_id]

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """Every activity, to register with a worker."""
        return [
            self.record_incident,
            self.register_evidence,
            self.verify_case,
            self.seal_case,
            self.timestamp_seal,
            self.render_report,
            self.corroborate_alert,
            self.read_stop,
            self.run_detections,
        ]

    @activity.defn
    async def record_incident(self, record: RecordIncident) -> None:
        desk = self._called(record.snapshot.incident_id)
        async with desk.changed:
            # As the ledger does: what a number brought once, it brings once.
            known = next((r for r in desk.records if r.sequence == record.sequence), None)
            if known is None:
                desk.records.append(record)
            desk.repeated += [(known, record)] if known else []
            desk.changed.notify_all()

    @activity.defn
    async def register_evidence(self, register: RegisterEvidence) -> Registered:
        desk = self._called(register.incident_id)
        desk.registered.append(register)
        refused = tuple(item.evidence_id for item in register.items if item.name == desk.refuses)
        problems = tuple(f"{evidence_id} is no item of {register.collector}" for evidence_id in refused)
        manifests = sum(len(r.items) for r in desk.registered)
        return Registered(manifests=manifests, head="0" * 64, refused=refused, problems=problems)

    @activity.defn
    async def verify_case(self, verify: VerifyCase) -> CaseVerdict:
        items = sum(len(r.items) for r in self._called(verify.incident_id).registered)
        return CaseVerdict(items=items, verified=items, ok=True)

    @activity.defn
    async def seal_case(self, seal: SealCase) -> SealRef:
        desk = self._called(seal.incident_id)
        desk.sealed.append(seal)
        timestamp: Literal["none", "pending"] = "pending" if desk.has_authority else "none"
        return SealRef(number=1, manifests=1, custody=2, keyid="0" * 64, sealed_at=SEALED_AT, timestamp=timestamp)

    @activity.defn
    async def timestamp_seal(self, stamp: TimestampSeal) -> SealRef:
        self._called(stamp.incident_id)
        sealed = SealRef(
            number=stamp.number, manifests=1, custody=2, keyid="0" * 64, sealed_at=SEALED_AT, timestamp="held"
        )
        return sealed.model_copy(update={"timestamp_at": SEALED_AT})

    @activity.defn
    async def render_report(self, render: RenderReport) -> Report:
        desk = self._called(render.snapshot.incident_id)
        desk.reported.append(render)
        return Report(uri="file:///vault/report.html", sha256="0" * 64, path="report.html")

    @activity.defn
    async def read_stop(self, read: ReadStop) -> StopState:
        return self._called(read.incident_id).stop

    @activity.defn
    async def corroborate_alert(self, corroborate: CorroborateAlert) -> Corroboration:
        siem = self._called(corroborate.incident_id).siem
        if isinstance(siem, Exception):
            raise siem
        return Corroboration(found=siem, hits=3 if siem else 0)

    @activity.defn
    async def run_detections(self, run: RunDetections) -> DetectionsRun:
        self.detection_runs.append(run)
        return DetectionsRun()

    def _called(self, incident_id: str) -> Desk:
        desk, verb = self.desk(incident_id), activity.info().activity_type
        desk.calls.append(verb)
        if verb in desk.troubles:
            raise desk.troubles[verb]
        return desk
