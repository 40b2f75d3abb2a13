"""Detections as data: what to look for in the SIEM, and the alert that a finding becomes. Pure.

Owns the vocabulary of the YAML in `playbooks/detections/`, the query made from it and the reading of the
answer. Never asks the SIEM; the query uses nothing beyond terms, min, max and top_hits, which Elasticsearch
and OpenSearch answer alike.

    body = query(detection, at)           # an Elasticsearch search body
    findings(detection, response, at)     # -> (Finding(source="10.0.0.11", destination="10.0.0.13", ...),)
    finding.alert()                       # -> Alert about whoever has the source's address
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import Field, IPvAnyAddress, StringConstraints

from playbooks.alerts import Alert, Endpoint, Event, Host, Rule, Technique, Text, Threat
from playbooks.canonical import digest
from segmentation.workloads import Frozen, Name

IndexPattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._*-]{0,199}$")]
Document = Mapping[str, Any]

# Top talkers first: a flood of forged sources costs its tail, never the whole answer.
MAX_SOURCES = 100
MAX_DESTINATIONS = 50
MAX_PORTS = 10
EVIDENCE_PER_FINDING = 20


class Detection(Frozen):
    """Something to look for, and how to tell of it."""

    name: Name
    kind: Literal["repeated-denials"] = Field(
        description="`repeated-denials`: one source is denied again and again by one destination."
    )
    rule: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="rule.name of its alerts; playbooks match on it."
    )
    description: Text = ""
    index: IndexPattern = "firebreak-flows"
    window_seconds: int = Field(default=60, ge=1, le=86400, description="How far back a run looks.")
    threshold: int = Field(default=10, ge=1, le=1_000_000, description="Denials in the window that make a finding.")
    repeat_seconds: int = Field(
        default=60, ge=1, le=86400, description="A finding that lasts is told of once in so many seconds."
    )
    severity: int = Field(default=50, ge=0, le=100)
    techniques: tuple[Technique, ...] = ()


class Finding(Frozen):
    """One source and one destination that match a detection."""

    detection: Detection
    source: IPvAnyAddress
    destination: IPvAnyAddress
    ports: tuple[int, ...] = Field(description="Destination ports, the most denied first.")
    denied_by: tuple[str, ...] = Field(description="Hosts that denied.")
    count: int
    first_seen: datetime
    last_seen: datetime
    found_at: datetime
    evidence_ids: tuple[str, ...]

    @property
    def key(self) -> str:
        """What makes two findings the same one at different times."""
        pair = {
            "detection": self.detection.name,
            "source": str(self.source),
            "destination": str(self.destination),
        }
        return digest(pair).removeprefix("sha256:")[:24]

    @property
    def message_id(self) -> str:
        """Same finding, same stretch of time, same id: telling it again is a repeat, not news."""
        stretch = int(self.found_at.timestamp()) // self.detection.repeat_seconds
        return f"{self.detection.name}.{self.key}.{stretch}"

    def alert(self) -> Alert:
        """The alert that tells of it; which workload has the source's address is the intake's to know."""
        detection = self.detection
        return Alert(
            event=Event(
                id=self.message_id,
                created=self.last_seen,
                severity=detection.severity,
                action="denied",
                reason=detection.description or None,
            ),
            rule=Rule(name=detection.rule, id=detection.name),
            host=Host(ip=(self.source,)),
            source=Endpoint(ip=self.source),
            # More than one port is a scan: naming one of them would make each turn of the scan another alert.
            destination=Endpoint(ip=self.destination, port=self.ports[0] if len(self.ports) == 1 else None),
            threat=Threat(technique=detection.techniques),
            message=self._in_words(),
            evidence_ids=self.evidence_ids,
        )

    def _in_words(self) -> str:
        by = f" by {', '.join(self.denied_by)}" if self.denied_by else ""
        ports = f" port {', '.join(str(port) for port in self.ports)}" if self.ports else ""
        return (
            f"{self.source} was denied {self.count} times on its way to {self.destination}{ports}{by}, "
            f"from {_clock(self.first_seen)} to {_clock(self.last_seen)}"
        )[:2048]


def query(detection: Detection, at: datetime) -> dict[str, Any]:
    """Search body for one run at `at`; the threshold is the SIEM's to apply (`min_doc_count`)."""
    since = at - timedelta(seconds=detection.window_seconds)
    return {
        "size": 0,
        "track_total_hits": False,
        "query": denials(since, at),
        "aggs": {"sources": _group("source.ip", MAX_SOURCES, detection.threshold, {"destinations": _pairs(detection)})},
    }


def denials(since: datetime, until: datetime, *more: dict[str, Any]) -> dict[str, Any]:
    """Query for flows denied between two moments, both included, that pass the filters `more`."""
    moments = {"gte": since.astimezone(UTC).isoformat(), "lte": until.astimezone(UTC).isoformat()}
    return {"bool": {"filter": [{"term": {"event.action": "denied"}}, {"range": {"@timestamp": moments}}, *more]}}


def findings(detection: Detection, response: Document, at: datetime) -> tuple[Finding, ...]:
    """Findings in the answer to `query`, strongest first."""
    sources = response.get("aggregations", {}).get("sources", {}).get("buckets", [])
    found = [
        _finding(detection, ip_address(source["key"]), pair, at)
        for source in sources
        for pair in source["destinations"]["buckets"]
        if pair["doc_count"] >= detection.threshold
    ]
    return tuple(sorted(found, key=lambda finding: (-finding.count, finding.key)))


def _pairs(detection: Detection) -> dict[str, Any]:
    newest = {"size": EVIDENCE_PER_FINDING, "_source": False, "sort": [{"@timestamp": "desc"}]}
    return _group(
        "destination.ip",
        MAX_DESTINATIONS,
        detection.threshold,
        {
            "first_seen": {"min": {"field": "@timestamp"}},
            "last_seen": {"max": {"field": "@timestamp"}},
            "ports": {"terms": {"field": "destination.port", "size": MAX_PORTS}},
            "denied_by": {"terms": {"field": "host.name", "size": MAX_PORTS}},
            "documents": {"top_hits": newest},
        },
    )


def _group(field: str, size: int, at_least: int, inner: dict[str, Any]) -> dict[str, Any]:
    return {"terms": {"field": field, "size": size, "min_doc_count": at_least}, "aggs": inner}


def _finding(detection: Detection, source: IPvAnyAddress, pair: Document, at: datetime) -> Finding:
    return Finding(
        detection=detection,
        source=source,
        destination=ip_address(pair["key"]),
        ports=tuple(int(bucket["key"]) for bucket in pair["ports"]["buckets"]),
        denied_by=tuple(str(bucket["key"]) for bucket in pair["denied_by"]["buckets"]),
        count=pair["doc_count"],
        first_seen=_moment(pair["first_seen"]["value"]),
        last_seen=_moment(pair["last_seen"]["value"]),
        found_at=at,
        evidence_ids=tuple(hit["_id"] for hit in pair["documents"]["hits"]["hits"]),
    )


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3] + " UTC"
