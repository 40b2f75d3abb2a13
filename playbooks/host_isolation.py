"""Planning the isolation of a Linux host: Observation and intent in, Change out. Pure.

Owns what an isolation is and its inverse; the rules themselves are in `playbooks.isolation_rules`. Runs
unchanged in the workflow (what people decide on) and on the host's agent (what is carried out), so that both
can compare digests. Never applies it.

    change = plan_isolation(observation, intent)
    change.inverse()          # what lifts it again
    plan_isolation(observation_with_our_table, intent).empty   # -> True
"""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, IPvAnyAddress, StringConstraints

from playbooks import isolation_rules
from playbooks.canonical import digest
from playbooks.isolation_modes import ISOLATE_ALL, EgressOnly, IsolateAll, Mode, in_words, tag
from playbooks.nftables import NftCommand
from segmentation.bounds import Count, Line, Word
from segmentation.workloads import Frozen, Name

# More than hosts have; an answer of that many would be too large as a whole.
MAX_DEVICES, MAX_TABLES = 1 << 16, 4096
# Planning takes it apart: five words at least, the first two without a space.
_BLANK, _CONTROL = r"\x00-\x20\x7f", r"\x00-\x1f\x7f"
BASE_CHAIN = re.compile(rf"^[^{_BLANK}]+ [^{_BLANK}]+ [^{_CONTROL}]+ [^{_BLANK}]+ [^{_BLANK}]+$")
BaseChain = Annotated[str, StringConstraints(pattern=BASE_CHAIN.pattern, max_length=2000)]


def _is_empty(found: tuple[str, ...]) -> bool:
    return not found


class LifelineEndpoint(Frozen):
    """One address and port of the control plane that an isolated host may still reach."""

    purpose: Literal["temporal", "api", "siem", "dns"]
    address: IPvAnyAddress
    port: int = Field(ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"


class Interface(Frozen):
    """A network device of a host as observed."""

    name: str = Field(pattern=r"^[^\s/\"{}]{1,15}$")
    ifindex: Count
    mac: Word = ""
    addresses: tuple[IPvAnyAddress, ...] = Field(default=(), max_length=MAX_DEVICES)


class HostObservation(Frozen):
    """What a host looked like before a change: enough to know what was there and to compare afterwards."""

    host_id: Name
    boot_id: Word
    kernel: Word
    netns_inode: Count
    interfaces: tuple[Interface, ...] = Field(max_length=MAX_DEVICES)
    ruleset_digest: Word = Field(description="Digest of the ruleset without handles, counters and countdowns.")
    base_chains: tuple[BaseChain, ...] = Field(
        max_length=MAX_TABLES, description="`family table chain hook priority` of every base chain."
    )
    firebreak_tables: tuple[Word, ...] = Field(
        default=(),
        max_length=MAX_TABLES,
        description="Names of our own tables in force: loaded, and armed if they have a dead-man.",
    )
    ruleset_outline: dict[Line, Word] = Field(
        default_factory=dict,
        max_length=MAX_TABLES,
        description="Digest of each table, chain and set of others, to name what differs later.",
    )
    bridges: tuple[Word, ...] = Field(
        default=(),
        max_length=MAX_DEVICES,
        exclude_if=_is_empty,
        description="Bridge devices with ports: what passes them never meets IP.",
    )

    def without(self, table: str) -> "HostObservation":
        """The same host without one of our tables: as it was before, and what to plan from to load it anew."""
        tables = tuple(t for t in self.firebreak_tables if t != table)
        chains = tuple(chain for chain in self.base_chains if chain.split(" ")[1] != table)
        return self.model_copy(update={"firebreak_tables": tables, "base_chains": chains})


class IsolationIntent(Frozen):
    """What a response wants of a host: cut it off, keep the lifeline, for so long."""

    incident_id: Name
    host_id: Name
    lifeline: tuple[LifelineEndpoint, ...] = Field(min_length=1)
    lease_seconds: int = Field(
        ge=1, le=86400, description="Time on the kernel's dead-man; renewed while the lease stands."
    )
    ends: Literal["open", "closed"] = Field(
        description="What a lease that nobody renews does: lift, or hold until released."
    )
    log_group: int | None = Field(default=None, ge=0, le=65535, description="NFLOG group that hears of what was cut.")
    # Left out where it says nothing new: the plan and the order of an isolate-all stay what they were.
    mode: Mode = Field(default=ISOLATE_ALL, exclude_if=lambda mode: mode == ISOLATE_ALL)


class HostChange(Frozen):
    """The planned difference on one host; applying it is one atomic nftables batch."""

    incident_id: Name
    host_id: Name
    table: Word
    devices: tuple[Word, ...] = Field(max_length=MAX_DEVICES)
    lease_seconds: int
    ends: Literal["open", "closed"]
    summary: tuple[str, ...] = Field(description="The change in words, for the people who decide.")
    commands: tuple[NftCommand, ...]
    undo: tuple[NftCommand, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to apply."""
        return not self.commands

    @property
    def plan_hash(self) -> str:
        """What a gate approves and an order carries."""
        return digest(self)

    def inverse(self) -> "HostChange":
        """The change that lifts this one; deleting only what is ours."""
        return self.model_copy(
            update={"commands": self.undo, "undo": self.commands, "summary": (f"delete tables {self.table}",)}
        )


def table_name(incident_id: str) -> str:
    """Our table for an incident: derived, never random, so that a retry finds its own work."""
    return "firebreak_" + re.sub(r"[^a-z0-9]", "_", incident_id.lower())


def plan_isolation(observation: HostObservation, intent: IsolationIntent) -> HostChange:
    """Isolate the host as its mode says, never from its lifeline; empty when that already stands."""
    name = table_name(intent.incident_id)
    found = tuple(sorted(i.name for i in observation.interfaces if i.name != "lo"))
    devices = () if isinstance(intent.mode, EgressOnly) else found
    bridged = bool(observation.bridges) and isinstance(intent.mode, IsolateAll)
    standing = name in observation.firebreak_tables and not other_mode_stands(observation, intent)
    return HostChange(
        incident_id=intent.incident_id,
        host_id=intent.host_id,
        table=name,
        devices=devices,
        lease_seconds=intent.lease_seconds,
        ends=intent.ends,
        summary=() if standing else _in_words(intent, devices, observation.bridges if bridged else ()),
        commands=() if standing else _batch(observation, intent, devices, bridged=bridged),
        undo=tuple(isolation_rules.undo(name, devices, bridged=bridged)),
    )


def other_mode_stands(observation: HostObservation, intent: IsolationIntent) -> bool:
    """Whether our table of this incident holds the host in another mode than the one that is wanted."""
    name = table_name(intent.incident_id)
    chains = [chain.split(" ") for chain in observation.base_chains]
    loaded = {chain for family, table, chain, *_ in chains if (family, table) == ("inet", name)}
    return name in observation.firebreak_tables and bool(loaded) and f"input{tag(intent.mode)}" not in loaded


def refit(change: HostChange, devices: Iterable[str]) -> HostChange:
    """The change for the devices that a host has now: one that is gone would make every batch invalid.

    A change that was planned without any device can't gain one.
    """
    wanted = tuple(sorted(device for device in devices if device != "lo"))
    if wanted == change.devices or not change.devices:
        return change
    kept = {family: [c for c in change.commands if _family(c) == family] for family in ("inet", "bridge")}
    lease = _dead_man(change)
    egress: list[NftCommand] = []
    if kept["inet"]:
        egress = isolation_rules.refit_egress(change.table, wanted, change.commands, lease_seconds=lease)
    undo = tuple(isolation_rules.undo(change.table, wanted, bridged=_is_bridged(change)))
    commands = (*kept["inet"], *egress, *kept["bridge"])
    return change.model_copy(update={"devices": wanted, "commands": commands, "undo": undo})


def lifeline_of(change: HostChange) -> tuple[isolation_rules.Endpoint, ...]:
    """The endpoints that a change leaves open for orders to come, as its rules name them; none if it is empty."""
    rules = (command["add"].get("rule", {}) for command in change.commands if "add" in command)
    out = [r["expr"] for r in rules if r.get("family") == "inet" and r["chain"].startswith("output")]
    return isolation_rules.lifeline_in(out)


def renewal(change: HostChange, lease_seconds: int) -> tuple[NftCommand, ...]:
    """Batch that winds the dead-man up again; nft has no update of a timeout, so delete and add at once."""
    if change.ends == "closed":
        return ()
    batch: list[NftCommand] = []
    bridged = isolation_rules.BRIDGED if _is_bridged(change) else ()
    for family, keys in (("inet", ("ipv4", "ipv6")), ("netdev", change.devices), ("bridge", bridged)):
        if not keys:
            continue
        where = {"family": family, "table": change.table, "name": "armed"}
        # Adding first makes the delete valid even where the element has just expired.
        batch.append({"add": {"element": where | {"elem": list(keys)}}})
        batch.append({"delete": {"element": where | {"elem": list(keys)}}})
        fresh = [{"elem": {"val": key, "timeout": lease_seconds}} for key in keys]
        batch.append({"add": {"element": where | {"elem": fresh}}})
    return tuple(batch)


def _batch(
    observation: HostObservation, intent: IsolationIntent, devices: tuple[str, ...], *, bridged: bool
) -> tuple[NftCommand, ...]:
    name, mode, lease = table_name(intent.incident_id), intent.mode, _dead_man(intent)
    lifeline = [(endpoint.address, endpoint.port, endpoint.protocol) for endpoint in intent.lifeline]
    own = [address for interface in observation.interfaces for address in interface.addresses]
    inet = isolation_rules.inet(name, lifeline, lease_seconds=lease, log_group=intent.log_group, mode=mode, own=own)
    egress = isolation_rules.egress(name, devices, lifeline, lease_seconds=lease, mode=mode)
    return (*inet, *egress, *(isolation_rules.bridge(name, lease_seconds=lease) if bridged else ()))


def _family(command: NftCommand) -> str:
    return str(isolation_rules.body(command)["family"])


def _is_bridged(change: HostChange) -> bool:
    return any(_family(command) == "bridge" for command in change.undo)


def _dead_man(of: IsolationIntent | HostChange) -> int | None:
    return of.lease_seconds if of.ends == "open" else None


def _in_words(intent: IsolationIntent, devices: tuple[str, ...], bridges: tuple[str, ...]) -> tuple[str, ...]:
    lifeline = ", ".join(f"{e.purpose} {e.address}:{e.port}/{e.protocol}" for e in intent.lifeline)
    end = "lifts by itself" if intent.ends == "open" else "holds until released"
    whole = (
        f"drop all IPv4 and IPv6 traffic from, to and through host {intent.host_id}, established too",
        f"drop raw frames leaving {', '.join(devices) or 'no device'}",
        *([f"drop frames bridged by {', '.join(bridges)}"] if bridges else []),
    )
    partial = in_words(intent.mode)
    return (
        *(partial if intent.mode.kind not in ("isolate-all", "isolate") else (*whole, *partial)),
        f"keep the lifeline: {lifeline}",
        f"lease of {intent.lease_seconds} s on the kernel's clock, then it {end}",
    )
