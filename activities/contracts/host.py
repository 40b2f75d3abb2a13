"""Inputs and results of the host activities: isolation, probes, remediation.

Pure shapes; the verbs are carried out in `activities.host`. Times are UTC. Everything in an answer is bounded: an
honest host stays within by leaving out and saying so, a taken one does not get past.
"""

from typing import ClassVar

from pydantic import Field, IPvAnyAddress, field_validator
from pydantic_core import PydanticCustomError

from activities.contracts.orders import Order, Testimony
from playbooks.canonical import has_canonical_form
from playbooks.host_isolation import MAX_TABLES, HostChange, HostObservation, IsolationIntent
from playbooks.proof import MAX_MEASUREMENTS, Measurement
from segmentation.bounds import MAX_INTEGER, Count, Line, LongLine, Milliseconds, Moment, Word
from segmentation.workloads import Frozen, Name

MAX_PROCESSES, MAX_SOCKETS, MAX_ARGUMENTS = 64, 64, 64
MAX_LINES = 64
MAX_PIDS = 256


def _is_none_left(value: object) -> bool:
    return value == 0


class ObserveOrder(Order):
    """observe_host: read-only."""


class Observed(Testimony):
    """What observe_host saw."""

    max_bytes: ClassVar[int] = 1536 << 10

    observation: HostObservation


class ProcessRef(Frozen):
    """A process that can't be confused with a later one of the same pid."""

    # PID_MAX_LIMIT of the kernel (linux/threads.h).
    pid: int = Field(ge=2, le=1 << 22)
    pgid: int = Field(ge=2, le=1 << 22)
    start_ticks: Count = Field(description="Field 22 of /proc/pid/stat: clock ticks since boot.")
    executable: LongLine
    executable_sha256: Word = ""
    command: tuple[Line, ...] = Field(default=(), max_length=MAX_ARGUMENTS + 1)
    user: Word = ""
    sockets: tuple[Word, ...] = Field(
        default=(), max_length=MAX_SOCKETS, description="Remote `address:port` of its sockets."
    )


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

    # About 2.5 KiB for each device of the host.
    max_bytes: ClassVar[int] = 1536 << 10

    observation: HostObservation
    change: HostChange
    applied_at: Moment
    read_back: bool = Field(description="Our tables are loaded with every rule of the change.")
    already_standing: bool = False
    rolled_back: bool = False
    lifeline: tuple[Measurement, ...] = Field(default=(), max_length=MAX_MEASUREMENTS)
    connections_deleted: Count = 0
    sockets_destroyed: Count = 0
    cut_off: tuple[ProcessRef, ...] = Field(
        default=(),
        max_length=MAX_PROCESSES,
        description="Processes whose sessions were ended: hints for find_intruders, not yet accused.",
    )
    steps_ms: dict[Name, Milliseconds] = Field(
        default_factory=dict,
        max_length=64,
        description="Milliseconds from the start of the activity to the end of each step.",
    )
    detail: Line = ""
    lease_until: Moment | None = Field(default=None, description="When the dead-man lets go if nobody renews.")

    @field_validator("change")
    @classmethod
    def _can_be_hashed(cls, change: HostChange) -> HostChange:
        """A plan without a hash would fail whoever carries it on in the middle of that."""
        if not has_canonical_form([*change.commands, *change.undo]) or not 0 <= change.lease_seconds <= MAX_INTEGER:
            raise PydanticCustomError("plan_unhashable", "a plan with a hash: a number of it has no canonical form")
        return change


class DryRunOrder(Order):
    """dry_run_host: have nftables check the very batch of a change; nothing is changed."""

    change: HostChange


class DryRun(Testimony):
    """What dry_run_host heard."""

    at: Moment
    refusals: tuple[Line, ...] = Field(
        default=(), max_length=MAX_LINES, description="What nft or this host says against it; empty: nothing."
    )
    warnings: tuple[Line, ...] = Field(
        default=(),
        max_length=MAX_LINES,
        description="Why the lifeline may be dead afterwards: then the isolation lifts itself at once.",
    )


class RenewOrder(Order):
    """renew_lease: wind up the kernel's dead-man."""

    change: HostChange
    lease_seconds: int


class Renewed(Testimony):
    """The lease runs until `until`; `standing` is False when the table was gone and was applied again."""

    until: Moment
    standing: bool


class ReleaseOrder(Order):
    """release_host: apply the inverse, compare with what stood before."""

    change: HostChange
    observation: HostObservation


class Released(Testimony):
    """What release_host did. `restored`: the ruleset equals the one before; else `drift` says what is not."""

    released_at: Moment
    restored: bool
    was_standing: bool = Field(description="False: its dead-man had let go, or the table was gone already.")
    drift: tuple[Line, ...] = Field(default=(), max_length=MAX_LINES)


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

    # Of so many processes whose paths and arguments an intruder has made as long as they can be.
    max_bytes: ClassVar[int] = 1 << 20

    processes: tuple[ProcessRef, ...] = Field(max_length=MAX_PROCESSES)
    unattributed: tuple[Word, ...] = Field(
        default=(),
        max_length=MAX_SOCKETS,
        description="Remote `address:port` of accused sockets that no process of this host held.",
    )
    left_out: Count = Field(
        default=0, exclude_if=_is_none_left, description="Processes that were found, and are too many to name."
    )


class KillOrder(Order):
    """kill_process_groups: end the groups of these processes, if they still are the ones that were seen."""

    processes: tuple[ProcessRef, ...]


class Killed(Testimony):
    """Which processes ended; `confirmed` when none of the groups has a living member."""

    ended: tuple[Count, ...] = Field(max_length=MAX_PIDS)
    gone_before: tuple[Count, ...] = Field(default=(), max_length=MAX_PIDS)
    survivors: tuple[Count, ...] = Field(default=(), max_length=MAX_PIDS)
    confirmed: bool
    reasons: tuple[Line, ...] = Field(default=(), max_length=MAX_LINES, description="Why somebody was left alone.")


class SnapshotOrder(Order):
    """snapshot_ruleset: read-only."""


class RulesetSnapshot(Testimony):
    """The digest of a host's ruleset at one moment."""

    taken_at: Moment
    ruleset_digest: Word
    firebreak_tables: tuple[Word, ...] = Field(
        default=(), max_length=MAX_TABLES, description="Names of our own tables that are loaded."
    )


class PingOrder(Order):
    """ping_host: does nothing."""


class Pinged(Testimony):
    """When the agent began to carry the order out."""

    at: Moment
