"""Safeguards: what no playbook may contain by itself, whatever it says. Pure.

Owns the rules of a whole site: targets that nobody contains without breaking the glass, and how many targets, or how
much of a group, may be contained automatically in an hour. Reading the file is in `playbooks.loading`, counting in
the ledger. Never stops a person: over a limit people decide.

    protected:
      labels: {role: [dns, identity]}
      names: ["dc-*", "kube-system/*"]      # ids and names, as shell patterns, in any case
      networks: [10.0.0.0/24, "fd00:53::/64"]
    limits:
      per_hour: 50
      group: app                            # the label whose bearers are one group
      percent_of_group_per_hour: 20
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import Field, IPvAnyNetwork, StringConstraints

from playbooks.playbook import ContainSpec
from segmentation.workloads import Frozen, LabelValue, Name, Workload

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Values = Annotated[tuple[LabelValue, ...], Field(min_length=1)]


def _is_none(value: object) -> bool:
    return value is None


class Protected(Frozen):
    """Targets that are never contained without a break-glass decision; any one line is enough."""

    labels: dict[Name, Values] = Field(default_factory=dict, description="Labels and the values that protect.")
    names: tuple[Pattern, ...] = Field(default=(), description="Shell patterns on ids and names.")
    networks: tuple[IPvAnyNetwork, ...] = Field(default=(), description="CIDRs; one address inside is enough.")


class Limits(Frozen):
    """How much may be contained automatically within any hour; the target in question counts too."""

    per_hour: int = Field(default=50, ge=0, le=100_000, description="Targets of the whole site; 0: people decide all.")
    group: Name = Field(default="app", description="The label whose bearers with one value are a group.")
    percent_of_group_per_hour: int | None = Field(
        default=None,
        ge=0,
        le=100,
        exclude_if=_is_none,
        description="Of the known members of a group; None: no such limit. A group of 4 at 20 percent allows none.",
    )


class Safeguards(Frozen):
    """The safeguards of a site. Without a file: nothing is protected, and 50 targets an hour."""

    protected: Protected = Protected()
    limits: Limits = Limits()

    def group_of(self, target: Workload) -> str:
        """The group of a target, as `app=shop`; empty without the label."""
        value = target.labels.get(self.limits.group, "")
        return f"{self.limits.group}={value}" if value else ""


class Counts(Frozen):
    """What was contained automatically within the last hour, the target in question included."""

    targets: int = Field(ge=1, description="Different targets of the site.")
    of_group: int = Field(default=0, ge=0, description="Those of them that are of the target's group.")
    group_size: int = Field(default=0, ge=0, description="Known members of its group.")


def protection(safeguards: Safeguards, contain: ContainSpec, target: Workload) -> str:
    """Why a target is protected, by the site or by the playbook; empty if it is not."""
    by_label = _labelled(safeguards.protected.labels, target) or _labelled(contain.protected, target)
    return by_label or _named(safeguards.protected.names, target) or _placed(safeguards.protected.networks, target)


def over_limit(safeguards: Safeguards, target: Workload, counts: Counts) -> str:
    """Why people decide on one more automatic containment; empty within the limits."""
    limits, group = safeguards.limits, safeguards.group_of(target)
    if counts.targets > limits.per_hour:
        return (
            f"{target.name} would be automatic containment {counts.targets} within an hour, "
            f"more than the limit of {limits.per_hour}"
        )
    percent = limits.percent_of_group_per_hour
    if percent is None or not group or 100 * counts.of_group <= percent * counts.group_size:
        return ""
    return (
        f"with {target.name} {counts.of_group} of {counts.group_size} targets of {group} would be contained "
        f"automatically within an hour, more than the limit of {percent} percent"
    )


def _labelled(protected: Mapping[Name, tuple[str, ...]], target: Workload) -> str:
    for key, values in sorted(protected.items()):
        if target.labels.get(key) in values:
            return f"{key}={target.labels[key]}"
    return ""


def _named(patterns: tuple[str, ...], target: Workload) -> str:
    for pattern in patterns:
        for name in _names(target):
            if fnmatchcase(name.lower(), pattern.lower()):
                return f"{name} matches {pattern}"
    return ""


def _names(target: Workload) -> Iterator[str]:
    """Everything that a target is called: id and name, and what its platform calls it, with and without its place."""
    yield target.workload_id
    yield target.name
    if target.kubernetes is not None:
        place = target.kubernetes
        yield place.name
        inside = f"{place.namespace}/{place.name}" if place.namespace else place.name
        yield inside
        yield f"{place.cluster}/{inside}"
    if target.aws is not None:
        yield target.aws.name
        yield f"{target.aws.account}/{target.aws.name}"


def _placed(networks: tuple[IPvAnyNetwork, ...], target: Workload) -> str:
    for network in networks:
        for address in target.addresses:
            if _plain(address) in network:
                return f"{_plain(address)} is in {network}"
    return ""


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address also where it is written as an IPv6 one (RFC 4291, 2.5.5.2)."""
    return getattr(address, "ipv4_mapped", None) or address
