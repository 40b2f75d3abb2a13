"""What a playbook asks to be collected, how long it is kept and who may read it.

Owns the names of the collectors, one set for each kind of target. How they collect is the targets' own affair.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from segmentation.workloads import Frozen

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]{1,1023}$")]
Collector = Literal[
    "sockets",
    "processes",
    "conntrack",
    "ruleset",
    "routes",
    "neighbours",
    "logins",
    "modules",
    "mounts",
    "cron",
    "journal",
    "packages",
    "files",
    "memory",
]
KubernetesCollector = Literal["objects", "events", "logs", "images", "rbac", "node-capture"]
AwsCollector = Literal["configuration", "cloudtrail", "flow-logs", "console", "identities", "findings", "snapshots"]
Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]


class RetentionSpec(Frozen):
    """How long evidence can't be deleted. `governance`: unless by who has the right to; `compliance`: by nobody."""

    days: int = Field(default=365, ge=1, le=36_500)
    mode: Literal["governance", "compliance"] = "governance"
    sealed_mode: Literal["governance", "compliance"] = Field(
        default="compliance", description="From the first seal on."
    )


class ForensicsSpec(Frozen):
    """What is collected, in order of volatility, and for how long."""

    budget_seconds: int = Field(default=60, ge=1, le=3600)
    capture_seconds: int = Field(default=5, ge=1, le=3600, description="Full-length capture after the freeze.")
    collect: tuple[Collector, ...] = ("sockets", "conntrack", "processes", "ruleset", "routes", "neighbours")
    files: tuple[AbsolutePath, ...] = Field(default=(), max_length=64, description="For the collector `files`.")
    memory_max_mib: int = Field(default=256, ge=1, le=65_536, description="Bound for each process, for `memory`.")
    kubernetes: tuple[KubernetesCollector, ...] = ("objects", "events", "logs", "images", "rbac", "node-capture")
    aws: tuple[AwsCollector, ...] = ("configuration", "cloudtrail", "flow-logs", "console", "identities", "findings")
    retention: RetentionSpec = RetentionSpec()
    tlp: Tlp = "AMBER"
