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

# The rule of what a person asks for; a playbook answers it like any other.
REQUESTED = "Containment requested"
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


class Named(Frozen):
    """ECS objects that have a name."""

    name: Short | None = None


class Identified(Frozen):
    """ECS objects that have an id."""

    id: Short | None = None


class Orchestrator(Frozen):
    """ECS `orchestrator.*`: the pod that the alert is about."""

    cluster: Named = Named()
    namespace: Short | None = None
    resource: Named = Named()


class Cloud(Frozen):
    """ECS `cloud.*`: the instance that the alert is about."""

    account: Identified = Identified()
    region: Short | None = None
    instance: Identified = Identified()


def _is_nothing(found: object) -> bool:
    return found in (Orchestrator(), Cloud(), ())


class Alert(Frozen):
    """A normalised alert. Immutable."""

    event: Event = Event()
    rule: Rule
    host: Host = Host()
    source: Endpoint = Endpoint()
    destination: Endpoint = Endpoint()
    threat: Threat = Threat()
    # Left out where they say nothing, so that what was recorded before there were any still reads the same.
    orchestrator: Orchestrator = Field(default=Orchestrator(), exclude_if=_is_nothing)
    cloud: Cloud = Field(default=Cloud(), exclude_if=_is_nothing)
    targets: Annotated[tuple[Short, ...], Field(max_length=100)] = Field(
        default=(), exclude_if=_is_nothing, description="`firebreak.targets`: references of everything to contain."
    )
    message: Text | None = None
    labels: Annotated[dict[Short, Short], Field(max_length=64)] = Field(default_factory=dict)
    evidence_ids: Annotated[tuple[Short, ...], Field(max_length=256)] = Field(
        default=(), description="SIEM document ids that the detection leans on; corroboration looks them up."
    )

    @property
    def fingerprint(self) -> str:
        """Hash of what is alerted, leaving out when, how severe and which documents prove it."""
        whom = {"host", "orchestrator", "cloud", "targets"}
        about = self.model_dump(mode="json", include={"rule", "destination", *whom})
        return digest(about | {"source": self.source.model_dump(mode="json", exclude={"port"})})

    @property
    def correlation_key(self) -> str:
        """What ties alerts to one incident: whom they accuse, or the source address, or the rule."""
        if self.targets:
            return f"targets:{digest(sorted(self.targets))}"
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
