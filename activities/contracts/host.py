"""Inputs and results of the host activities: isolation, probes, remediation.

Pure shapes; the verbs are carried out in `activities.host`. Times are UTC.
"""

from datetime import datetime

from pydantic import Field, IPvAnyAddress

from activities.contracts.orders import Order, Testimony
from playbooks.host_isolation import HostChange, HostObservation, IsolationIntent, LifelineEndpoint
from playbooks.proof import Measurement
from segmentation.workloads import Frozen, Name


class ObserveOrder(Order):
    """observe_host: read-only."""


class Observed(Testimony):
    """What observe_host saw."""

    observation: HostObservation


class ProcessRef(Frozen):
    """A process that can't be confused with a later one of the same pid."""

    pid: int = Field(ge=2)
    pgid: int = Field(ge=2)
    start_ticks: int = Field(description="Field 22 of /proc/pid/stat: clock ticks since boot.")
    executable: str
    executable_sha256: str = ""
    command: tuple[str, ...] = ()
    user: str = ""
    sockets: tuple[str, ...] = Field(default=(), description="Remote `address:port` of its sockets.")


class IsolateOrder(Order):
    """isolate_host: observe, journal, apply and self-check in one go.

    With `change` the plan is one that people approved: the agent plans again from what it observes now and
    refuses when the digests differ. Without it the playbook allowed the intent in advance.
    """

    intent: IsolationIntent
    change: HostChange | None = None


class Isolated(Testimony):
    """What isolate_host did. `rolled_back`: the lifeline was dead afterwards, so it lifted the change.

    `already_standing`: an earlier order of the incident has applied it; `observation` and `applied_at` are of that one.
    """

    observation: HostObservation
    change: HostChange
    applied_at: datetime
    read_back: bool = Field(description="Our tables are loaded with every rule of the change.")
    already_standing: bool = False
    rolled_back: bool = False
    lifeline: tuple[Measurement, ...] = ()
    connections_deleted: int = 0
    sockets_destroyed: int = 0
    cut_off: tuple[ProcessRef, ...] = Field(
        default=(),
        description="Processes whose sessions were ended: hints for find_intruders, not yet accused.",
    )
    steps_ms: dict[Name, float] = Field(
        default_factory=dict,
        description="Milliseconds from the start of the activity to the end of each step.",
    )
    detail: str = ""
    lease_until: datetime | None = Field(default=None, description="When the dead-man lets go if nobody renews.")


class DryRunOrder(Order):
    """dry_run_host: have nftables check the very batch of a change; nothing is changed."""

    change: HostChange


class DryRun(Testimony):
    """What dry_run_host heard."""

    at: datetime
    refusals: tuple[str, ...] = Field(default=(), description="What nft or this host says against it; empty: nothing.")
    warnings: tuple[str, ...] = Field(
        default=(), description="Why the lifeline may be dead afterwards: then the isolation lifts itself at once."
    )


class RenewOrder(Order):
    """renew_lease: wind up the kernel's dead-man."""

    change: HostChange
    lease_seconds: int


class Renewed(Testimony):
    """The lease runs until `until`; `standing` is False when the table was gone and was applied again."""

    until: datetime
    standing: bool


class ReleaseOrder(Order):
    """release_host: apply the inverse, compare with what stood before."""

    change: HostChange
    observation: HostObservation


class Released(Testimony):
    """What release_host did. `restored`: the ruleset equals the one before; else `drift` says what is not."""

    released_at: datetime
    restored: bool
    was_standing: bool = Field(description="False: its dead-man had let go, or the table was gone already.")
    drift: tuple[str, ...] = ()


class ProbeTarget(Frozen):
    """One address of a host and the TCP ports that answered before."""

    host_id: Name
    address: IPvAnyAddress
    tcp_ports: tuple[int, ...] = ()


class ProbeOrder(Order):
    """probe_peers: connect to the subject from outside, listen for it; connect to bystanders as a control."""

    subject: tuple[ProbeTarget, ...] = Field(min_length=1)
    bystanders: tuple[ProbeTarget, ...] = ()
    silence_ms: int = Field(default=400, ge=50, le=10_000)
    connect_timeout_ms: int = Field(default=400, ge=50, le=10_000)
    lifeline: tuple[LifelineEndpoint, ...] = Field(
        default=(),
        description="Where the witness is one of these endpoints, their traffic is no breach of silence.",
    )


class Probed(Testimony):
    """What a witness measured."""

    measurements: tuple[Measurement, ...]


class LifelineOrder(Order):
    """probe_lifeline: from the contained host, connect to every endpoint that must stay reachable."""

    intent: IsolationIntent


class FindIntrudersOrder(Order):
    """find_intruders: which processes hold or try connections to the addresses that the alert accuses.

    A socket is accused by destination and port, where both are given. `hints` are reported if they still
    live.
    """

    destinations: tuple[IPvAnyAddress, ...]
    ports: tuple[int, ...] = ()
    hints: tuple[ProcessRef, ...] = ()


class Intruders(Testimony):
    """The processes found, one entry per process group leader or member that matched."""

    processes: tuple[ProcessRef, ...]
    unattributed: tuple[str, ...] = Field(
        default=(), description="Remote `address:port` of accused sockets that no process of this host held."
    )


class KillOrder(Order):
    """kill_process_groups: end the groups of these processes, if they still are the ones that were seen."""

    processes: tuple[ProcessRef, ...]


class Killed(Testimony):
    """Which processes ended; `confirmed` when none of the groups has a living member."""

    ended: tuple[int, ...]
    gone_before: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()
    confirmed: bool
    reasons: tuple[str, ...] = Field(default=(), description="Why somebody was left alone.")


class SnapshotOrder(Order):
    """snapshot_ruleset: read-only."""


class RulesetSnapshot(Testimony):
    """The digest of a host's ruleset at one moment."""

    taken_at: datetime
    ruleset_digest: str
    firebreak_tables: tuple[str, ...] = Field(default=(), description="Names of our own tables that are loaded.")


class PingOrder(Order):
    """ping_host: does nothing."""


class Pinged(Testimony):
    """When the agent began to carry the order out."""

    at: datetime
