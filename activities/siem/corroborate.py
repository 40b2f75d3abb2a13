"""Corroboration: does the SIEM hold what an alert claims?

Owns the query that looks for the claimed denials, and what its answer means. An alert of a source that can't
sign is only a claim, and whoever sends it chooses its words: what counts are late denials of the workload
that would be contained, whatever else the alert says. Never changes anything in the SIEM.

    Corroborations(siem, ledger.hosts.hosts).corroborate_alert(...)   # -> Corroboration(found=True, hits=27)

Permissions: `read` on the flows' index.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from temporalio import activity

from activities.contracts.incident import CorroborateAlert, Corroboration
from activities.ledger.correlation import accused, suspects
from activities.siem.templates import FLOWS
from playbooks.alerts import Alert
from playbooks.detection import denials
from segmentation.workloads import Inventory

log = structlog.get_logger(__name__)

Addresses = frozenset[IPv4Address | IPv6Address]

# Hosts' clocks may run ahead of ours by this much, and their denials still count.
SKEW = timedelta(seconds=60)
ASK_SECONDS = 5.0
MAX_ADDRESSES = 256


class Corroborations:
    """Asks one SIEM about alerts; without one it says so. `inventory` gives the workloads that we know."""

    def __init__(self, siem: Elasticsearch | None, inventory: Callable[[], Inventory], index: str = FLOWS) -> None:
        self._siem = siem
        self._inventory = inventory
        self._index = index

    @activity.defn
    async def corroborate_alert(self, question: CorroborateAlert) -> Corroboration:
        """Look for denials of the accused workloads, to the claimed destination, before the alert came.

        `found` is None where nobody could be asked, or the alert claims nothing that can be looked up. Never
        raises for what the SIEM does or fails to do.
        """
        alert, came = question.received.alert, question.received.received_at
        if self._siem is None:
            return Corroboration(found=None, reason="No SIEM is configured.")
        parties = _parties(alert, await asyncio.to_thread(self._inventory))
        if not parties:
            return Corroboration(found=None, reason="The alert names no address to look for.")
        if alert.source.ip and not any(alert.source.ip in party for party in parties):
            reason = f"The source {alert.source.ip} is not an address of the workload that the alert accuses."
            return Corroboration(found=False, reason=reason)
        asked = _query(alert, parties, came, timedelta(seconds=question.window_seconds))
        try:
            answer = await asyncio.to_thread(self._ask, self._siem, asked, alert.evidence_ids)
        except (ApiError, TransportError) as error:
            log.warning("the SIEM could not be asked", incident_id=question.incident_id, error=str(error))
            reason = f"The SIEM could not be asked: {error}"[:500]
            return Corroboration(found=None, query=_shown(asked), reason=reason)
        return _conclude(alert, parties, answer, _shown(asked))

    def _ask(self, siem: Elasticsearch, asked: dict[str, Any], cited: tuple[str, ...]) -> dict[str, Any]:
        answer = siem.options(request_timeout=ASK_SECONDS).search(
            index=self._index,
            size=0,
            query=asked,
            track_total_hits=True,
            allow_partial_search_results=False,
            aggs={
                "sources": {"terms": {"field": "source.ip", "size": MAX_ADDRESSES}},
                "cited": {"filter": {"ids": {"values": list(cited)}}},
            },
        )
        return dict(answer.body)


def _parties(alert: Alert, inventory: Inventory) -> tuple[Addresses, ...]:
    """The addresses of each workload that would be contained, else the ones that the alert itself gives."""
    workloads = accused(alert, inventory) or suspects(alert, inventory)
    if workloads:
        return tuple(frozenset(workload.addresses) for workload in workloads)
    said = frozenset(alert.host.ip) or frozenset([alert.source.ip] if alert.source.ip else [])
    return (said,) if said else ()


def _query(alert: Alert, parties: tuple[Addresses, ...], came: datetime, window: timedelta) -> dict[str, Any]:
    """Only denials count, whatever `event.action` the alert writes: allowed traffic accuses nobody.

    And only late ones, whatever `event.created` it writes: every host was denied something once.
    """
    sources = [alert.source.ip] if alert.source.ip else sorted({a for party in parties for a in party}, key=str)
    claim: list[dict[str, Any]] = [{"terms": {"source.ip": [str(a) for a in sources[:MAX_ADDRESSES]]}}]
    if alert.destination.ip:
        claim.append({"term": {"destination.ip": str(alert.destination.ip)}})
    if alert.destination.port is not None:
        claim.append({"term": {"destination.port": alert.destination.port}})
    return denials(came - window, came + SKEW, *claim)


def _conclude(alert: Alert, parties: tuple[Addresses, ...], answer: dict[str, Any], asked: str) -> Corroboration:
    """Every accused workload was denied; and if documents are cited, some of them are among these denials."""
    hits, found = int(answer["hits"]["total"]["value"]), answer["aggregations"]
    denied = {ip_address(bucket["key"]) for bucket in found["sources"]["buckets"]}
    all_denied = all(party & denied for party in parties)
    cited = int(found["cited"]["doc_count"])
    reason = f"{hits} such denials"
    if alert.evidence_ids:
        reason += f"; {cited} of the {len(alert.evidence_ids)} cited documents are among them"
    if hits and not all_denied:
        reason += "; not every accused workload was denied"
    believed = all_denied and (cited > 0 or not alert.evidence_ids)
    return Corroboration(found=believed, hits=hits, query=asked, reason=f"{reason}.")


def _shown(asked: dict[str, Any]) -> str:
    return json.dumps(asked, sort_keys=True)[:4000]
