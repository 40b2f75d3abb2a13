"""Playbooks: what to do about a kind of alert, as data.

Owns the vocabulary that YAML playbooks are written in. Loading and its errors are in `playbooks.loading`.

    playbook.matches(alert)   # -> True if its rules name the alert's rule or technique
"""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from playbooks.alerts import Alert
from playbooks.forensics import ForensicsSpec
from playbooks.gates import GateSpec
from playbooks.isolation_modes import ISOLATE_ALL, ModeSpec
from playbooks.platform_intent import AwsSpec, KubernetesSpec
from segmentation.workloads import Frozen, Name

Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Match(Frozen):
    """Which alerts a playbook answers; any one line is enough."""

    rules: tuple[Title, ...] = Field(default=(), description="Shell patterns on rule.name.")
    techniques: tuple[Title, ...] = Field(default=(), description="ATT&CK ids, for example T1021.")
    min_severity: int = Field(default=0, ge=0, le=100, description="Alerts below it open triage only.")


class LeaseSpec(Frozen):
    """How long a change may stand without renewal, and what its end does."""

    ttl_seconds: int = Field(default=900, ge=10, le=86400, description="The kernel's dead-man.")
    max_seconds: int = Field(default=86400, ge=10, le=30 * 86400, description="Renewal stops here.")
    ends: Literal["open", "closed"] = "open"


class ContainSpec(Frozen):
    """How targets are contained."""

    # Left out where it is the default, so that what was recorded before there were modes still reads the same.
    mode: ModeSpec = Field(
        default=ISOLATE_ALL,
        exclude_if=lambda mode: mode == ISOLATE_ALL,
        description="What is cut of a host: `isolate-all`, or what a narrower kind names.",
    )
    kubernetes: KubernetesSpec = Field(
        default=KubernetesSpec(),
        exclude_if=lambda spec: spec == KubernetesSpec(),
        description="How targets in a cluster are contained.",
    )
    aws: AwsSpec = Field(
        default=AwsSpec(), exclude_if=lambda spec: spec == AwsSpec(), description="How targets in AWS are contained."
    )
    lease: LeaseSpec = LeaseSpec()
    gate: GateSpec | None = Field(default=None, description="None: contain at once, then tell people.")
    corroborate: bool = Field(default=False, description="Ask the SIEM first even if the source signed its message.")
    max_targets: int = Field(default=1, ge=1, le=100, description="Blast-radius limit; over it people decide.")
    protected: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="Labels whose bearers are never contained without break-glass."
    )


class RemediateSpec(Frozen):
    """What repairs the target. `kill-process-group` ends the intruder's processes on the host and confirms it."""

    action: Literal["kill-process-group", "none"] = "none"
    gate: GateSpec | None = GateSpec()


class ReleaseSpec(Frozen):
    """When the isolation is lifted."""

    when: Literal["decision", "remediated"] = Field(
        default="decision", description="`remediated`: as soon as remediation is confirmed; else a person says so."
    )


class Playbook(Frozen):
    """One response from containment to learning."""

    name: Name
    title: Title
    description: str = ""
    match: Match
    contain: ContainSpec = ContainSpec()
    forensics: ForensicsSpec = ForensicsSpec()
    remediate: RemediateSpec = RemediateSpec()
    release: ReleaseSpec = ReleaseSpec()

    def matches(self, alert: Alert) -> bool:
        """Whether this playbook answers the alert."""
        techniques = {technique.id for technique in alert.threat.technique}
        return any(fnmatchcase(alert.rule.name, pattern) for pattern in self.match.rules) or bool(
            techniques & set(self.match.techniques)
        )
