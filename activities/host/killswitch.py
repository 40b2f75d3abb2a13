"""The verbs that a host's agent carries out: a closed list, and no shell among them.

Owns the names by which workflows call them. Never checks a signature or a journalled result: the agent's
interceptor has done that before a method runs; nor does it translate errors.

    killswitch = HostKillswitch(host_id, journal, Nft())
    killswitch.warm()
    Worker(client, task_queue=f"host.{host_id}", activities=killswitch.activities, ...)
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

from temporalio import activity

from activities.contracts.host import (
    DryRun,
    DryRunOrder,
    FindIntrudersOrder,
    Intruders,
    Isolated,
    IsolateOrder,
    Killed,
    KillOrder,
    Observed,
    ObserveOrder,
    Released,
    ReleaseOrder,
    Renewed,
    RenewOrder,
    RulesetSnapshot,
    SnapshotOrder,
)
from activities.contracts.probing import LifelineOrder, Probed, ProbeOrder
from activities.host import aftermath, intruders, nft, probes, remediation
from activities.host.drift import Watcher
from activities.host.dry_run import dry_run
from activities.host.isolation import HostIsolation
from activities.host.reapply import Reapplied
from activities.host.standing import read_boot_id
from activities.orders.journal import OrderJournal


class HostKillswitch:
    """The kill-switch of one host, as activities."""

    PERMISSIONS: ClassVar[dict[str, tuple[str, ...]]] = {
        "observe_host": nft.PERMISSIONS,
        "isolate_host": (*nft.PERMISSIONS, *aftermath.PERMISSIONS),
        "dry_run_host": nft.PERMISSIONS,
        "renew_lease": nft.PERMISSIONS,
        "release_host": nft.PERMISSIONS,
        "probe_peers": probes.PERMISSIONS,
        "probe_lifeline": (),
        "find_intruders": intruders.PERMISSIONS,
        "kill_process_groups": remediation.PERMISSIONS,
        "snapshot_ruleset": nft.PERMISSIONS,
    }

    def __init__(
        self,
        host_id: str,
        journal: OrderJournal,
        ruleset: nft.Nft,
        watcher: Watcher | None = None,
        boot_id: Callable[[], str] = read_boot_id,
    ) -> None:
        self._host_id, self._nft = host_id, ruleset
        self._isolation = HostIsolation(host_id, journal, ruleset, watcher, boot_id)

    def warm(self) -> None:
        """Have everything at hand that the first order would wait for. Called once, when the agent starts.

        Raises:
            NftUnavailable: this host can't be isolated.
        """
        self._isolation.observer.warm()

    def resume(self) -> tuple[Reapplied, ...]:
        """Have everything stand again that has to, by the journal. Called once, when the agent starts."""
        return self._isolation.resume()

    def close(self) -> None:
        """Close what was opened to observe; what stands goes on standing."""
        self._isolation.observer.close()

    @property
    def activities(self) -> tuple[Callable[..., Any], ...]:
        """Every verb, to register with a worker."""
        return tuple(getattr(self, name) for name in self.PERMISSIONS)

    @activity.defn(name="observe_host")
    def observe_host(self, _order: ObserveOrder) -> Observed:
        """The host as it is now."""
        return Observed(observation=self._isolation.observer.observe().observation)

    @activity.defn(name="isolate_host")
    def isolate_host(self, order: IsolateOrder) -> Isolated:
        """Cut the host off except for its lifeline."""
        return self._isolation.isolate(order)

    @activity.defn(name="dry_run_host")
    def dry_run_host(self, order: DryRunOrder) -> DryRun:
        """Have nftables check a change; nothing is changed."""
        return dry_run(order.change, self._nft)

    @activity.defn(name="renew_lease")
    def renew_lease(self, order: RenewOrder) -> Renewed:
        """Wind up the kernel's dead-man."""
        return self._isolation.renew(order)

    @activity.defn(name="release_host")
    def release_host(self, order: ReleaseOrder) -> Released:
        """Lift the isolation, and only that."""
        return self._isolation.release(order)

    @activity.defn(name="probe_peers")
    def probe_peers(self, order: ProbeOrder) -> Probed:
        """Measure another host from here."""
        return Probed(measurements=probes.probe_peers(order, self._host_id))

    @activity.defn(name="probe_lifeline")
    def probe_lifeline(self, order: LifelineOrder) -> Probed:
        """Measure this host's own lifeline."""
        return Probed(measurements=probes.probe_lifeline(order.intent.lifeline, self._host_id))

    @activity.defn(name="find_intruders")
    def find_intruders(self, order: FindIntrudersOrder) -> Intruders:
        """Name the processes behind the accused traffic."""
        return intruders.find_intruders(order.destinations, order.ports, order.hints)

    @activity.defn(name="kill_process_groups")
    def kill_process_groups(self, order: KillOrder) -> Killed:
        """End these processes with their groups."""
        return remediation.end_groups(order.processes)

    @activity.defn(name="snapshot_ruleset")
    def snapshot_ruleset(self, _order: SnapshotOrder) -> RulesetSnapshot:
        """The digest of the ruleset now."""
        ruleset = self._isolation.observer.list_ruleset()
        return RulesetSnapshot(
            taken_at=datetime.now(UTC), ruleset_digest=ruleset.digest, firebreak_tables=ruleset.our_tables
        )
