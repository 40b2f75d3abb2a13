"""Alerts: one message of a SIEM, in ECS field names.

Owns the shape, the fingerprint (what makes two messages the same alert) and the correlation key (what makes
two alerts one incident). Pure; the bounds here are the intake's bounds.

    alert.fingerprint         # same rule, same source, same destination -> same fingerprint
    alert.correlation_key     # same host -> same incident while that one is open
"""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, IPvAnyAddress, StringConstraints

from playbooks.canonical import digest
from segmentation.workloads import Frozen

Text = Annotated[str, StringConstraints(max_length=2048)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Event(Frozen):
    """ECS `event.*`: identity, time and severity (0 to 100) of what the SIEM saw."""

    id: Short | None = None
    created: AwareDatetime | None = None
    severity: Annotated[int, Field(ge=0, le=100)] = 50
    action: Short | None = None
    reason: Text | None = None


class Rule(Frozen):
    """ECS `rule.*`: the detection that fired."""

    name: Short
    id: Short | None = None


class Host(Frozen):
    """ECS `host.*`: the workload that the alert is about."""

    name: Short | None = None
    id: Short | None = None
    ip: Annotated[tuple[IPvAnyAddress, ...], Field(max_length=64)] = ()


class Endpoint(Frozen):
    """ECS `source.*` or `destination.*`."""

    ip: IPvAnyAddress | None = None
    port: Annotated[int, Field(ge=0, le=65535)] | None = None


class Technique(Frozen):
    """ECS `threat.technique.*`: ATT&CK id and name."""

    id: Short | None = None
    name: Short | None = None


class Threat(Frozen):
    """ECS `threat.*`."""

    technique: tuple[Technique, ...] = ()


class Alert(Frozen):
    """A normalised alert. Immutable."""

    event: Event = Event()
    rule: Rule
    host: Host = Host()
    source: Endpoint = Endpoint()
    destination: Endpoint = Endpoint()
    threat: Threat = Threat()
    message: Text | None = None
    labels: Annotated[dict[Short, Short], Field(max_length=64)] = Field(default_factory=dict)
    evidence_ids: Annotated[tuple[Short, ...], Field(max_length=256)] = Field(
        default=(), description="SIEM document ids that the detection leans on; corroboration looks them up."
    )

    @property
    def fingerprint(self) -> str:
        """Hash of what is alerted, leaving out when, how severe and which documents prove it."""
        return digest(
            {
                "rule": self.rule.model_dump(mode="json"),
                "host": self.host.model_dump(mode="json"),
                "source": self.source.model_dump(mode="json", exclude={"port"}),
                "destination": self.destination.model_dump(mode="json"),
            }
        )

    @property
    def correlation_key(self) -> str:
        """What ties alerts to one incident: the host they accuse, or the source address, or the rule."""
        if self.host.id or self.host.name:
            return f"host:{(self.host.id or self.host.name or '').lower()}"
        if self.source.ip or self.host.ip:
            return f"address:{self.source.ip or self.host.ip[0]}"
        return f"rule:{self.rule.name}"


class ReceivedAlert(Frozen):
    """An alert as intake committed it."""

    webhook_id: Short
    source: Short = Field(description="Name of the configured webhook source.")
    signed: bool = Field(description="Whether the source proved itself by signature.")
    received_at: datetime
    alert: Alert
