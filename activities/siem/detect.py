"""Our own detections: ask the SIEM, tell the intake.

Owns the run of every detection and the delivery of what it found, as signed Standard Webhooks through the
same door that every other source uses. Never opens an incident itself.

    Detections(siem, "http://127.0.0.1:8000/api/v1/alerts/detections", "whsec_...", load_detections(folder))

Permissions: `read` on the detections' indices.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from standardwebhooks.webhooks import Webhook
from temporalio import activity

from activities.contracts.siem import DetectionsRun, RunDetections, SentFinding
from playbooks.detection import Detection, Finding, findings, query
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)

# A run that finds more has found a scan or a broken policy: the strongest findings say so.
MAX_FINDINGS = 200
POST_SECONDS = 10.0


class DetectionsFailed(FirebreakError):
    """A query or a message of this run failed; everything else of the run was done."""

    code: ClassVar[str] = "detections-failed"
    # Repeating is harmless: what the intake has already, it recognises by its id.
    retryable: ClassVar[bool] = True


class _Failed(Exception):
    """One step of a run failed, with the words for it."""


class Detections:
    """Runs detections against one SIEM and posts to one intake."""

    def __init__(
        self,
        siem: Elasticsearch,
        webhook_url: str,
        secret: str,
        detections: tuple[Detection, ...],
        http: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(timeout=POST_SECONDS),
    ) -> None:
        self._siem = siem
        self._url = httpx.URL(webhook_url)
        self._webhook = Webhook(secret)
        self._detections = detections
        self._http = http

    @activity.defn
    async def run_detections(self, run: RunDetections) -> DetectionsRun:
        """Query for each detection, post each finding; the same `at` twice is the same messages twice.

        Raises:
            DetectionsFailed: after everything that could be done was done; retryable.
        """
        found, absent, problems = await self._query_all(run)
        sent, undelivered = await self._post_all(found[:MAX_FINDINGS])
        if problems or undelivered:
            raise DetectionsFailed(
                "; ".join([*problems, *undelivered]),
                hint=f"{len(sent)} of {len(found)} findings were delivered. Look at the SIEM and the intake.",
            )
        left_out = max(len(found) - MAX_FINDINGS, 0)
        log.info("detections ran", findings=len(sent), left_out=left_out)
        return DetectionsRun(findings=tuple(sent), left_out=left_out, without_index=tuple(absent))

    async def _query_all(self, run: RunDetections) -> tuple[list[Finding], list[str], list[str]]:
        found: list[Finding] = []
        absent: list[str] = []
        problems: list[str] = []
        for detection in self._detections:
            if run.names and detection.name not in run.names:
                continue
            try:
                answer = await asyncio.to_thread(self._search, detection, run.at)
            except (ApiError, TransportError) as error:
                problems.append(f"detection {detection.name} could not query {detection.index}: {error}")
                continue
            if answer["_shards"]["total"] == 0:
                absent.append(detection.name)
            found.extend(findings(detection, answer, run.at))
        return sorted(found, key=lambda finding: -finding.count), absent, problems

    def _search(self, detection: Detection, at: datetime) -> dict[str, Any]:
        answer = self._siem.search(
            index=detection.index,
            # Before the first flow is shipped there is no index, and nothing to find.
            ignore_unavailable=True,
            # Part of an answer would let an intruder hide behind a shard that is down.
            allow_partial_search_results=False,
            **query(detection, at),
        )
        return dict(answer.body)

    async def _post_all(self, found: list[Finding]) -> tuple[list[SentFinding], list[str]]:
        sent: list[SentFinding] = []
        undelivered: list[str] = []
        async with self._http() as http:
            for finding in found:
                try:
                    sent.append(await self._post(http, finding))
                except _Failed as error:
                    undelivered.append(f"finding {finding.message_id} was not taken: {error}")
        return sent, undelivered

    async def _post(self, http: httpx.AsyncClient, finding: Finding) -> SentFinding:
        body = finding.alert().model_dump_json(exclude_none=True)
        sent_at = datetime.now(UTC)
        try:
            response = await http.post(self._url, content=body, headers=self._signed(finding.message_id, body))
        except httpx.HTTPError as error:
            raise _Failed(f"{self._url.host} is not reachable ({type(error).__name__})") from error
        if not response.is_success:
            raise _Failed(f"{self._url.host} answered {response.status_code} {response.text[:300]!r}")
        return SentFinding(
            detection=finding.detection.name,
            webhook_id=finding.message_id,
            source=finding.source,
            destination=finding.destination,
            count=finding.count,
            sent_at=sent_at,
            answer="known" if _known(response) else "accepted",
        )

    def _signed(self, message_id: str, body: str) -> dict[str, str]:
        # The moment of sending, not of the run: receivers refuse a signature older than five minutes.
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body),
        }


def _known(response: httpx.Response) -> bool:
    """Whether the intake says that it had the message; any other acceptance is one."""
    try:
        answer = response.json()
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("status") == "already-known"
