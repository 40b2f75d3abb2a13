"""The kill-switch of a host of the lab, with orders as a workflow would write them."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeVar

from activities.contracts.host import (
    FindIntrudersOrder,
    Intruders,
    Isolated,
    IsolateOrder,
    Killed,
    KillOrder,
    ObserveOrder,
    ProcessRef,
    Released,
    ReleaseOrder,
    Renewed,
    RenewOrder,
)
from activities.contracts.orders import OrderHeader
from activities.contracts.probing import Probed, ProbeOrder, ProbeTarget
from activities.host.drift import Watcher
from activities.host.killswitch import HostKillswitch
from activities.host.nft import Nft
from activities.host.ruleset import Ruleset
from activities.host.standing import read_boot_id
from activities.orders.journal import OrderJournal
from lab.host import LabHost
from lab.network import Lab
from lab.topology import GATEWAY_IPV4, GATEWAY_IPV6
from playbooks import isolation_rules
from playbooks.host_isolation import HostChange, HostObservation, IsolationIntent, LifelineEndpoint

LIFELINE_PORT = 7233
PROBE_MS = 200
LIFELINE = (
    LifelineEndpoint(purpose="temporal", address=ip_address(GATEWAY_IPV4), port=LIFELINE_PORT),
    LifelineEndpoint(purpose="temporal", address=ip_address(GATEWAY_IPV6), port=LIFELINE_PORT),
)
T = TypeVar("T")
_order_numbers = itertools.count(1)


class Agent:
    """One host's kill-switch; every verb runs inside the host."""

    def __init__(
        self,
        host: LabHost,
        state: Path,
        watcher: Watcher | None = None,
        boot_id: Callable[[], str] = read_boot_id,
    ) -> None:
        self.host, self.host_id = host, host.machine_id
        self.nft = Nft()
        self.journal = OrderJournal(state / "journal.db")
        self.watcher = watcher
        self.killswitch = HostKillswitch(self.host_id, self.journal, self.nft, watcher, boot_id)

    def inside(self, function: Callable[[], T]) -> T:
        return self.host.call(function)

    def intent(
        self,
        *,
        incident: str = "inc-1",
        lease: int = 60,
        ends: Literal["open", "closed"] = "open",
        lifeline: tuple[LifelineEndpoint, ...] = LIFELINE,
    ) -> IsolationIntent:
        return IsolationIntent(
            incident_id=incident, host_id=self.host_id, lifeline=lifeline, lease_seconds=lease, ends=ends
        )

    def observe(self) -> HostObservation:
        order = ObserveOrder(header=self.header())
        return self.inside(lambda: self.killswitch.observe_host(order)).observation

    def isolate(
        self, intent: IsolationIntent | None = None, *, change: HostChange | None = None, order_id: str = ""
    ) -> Isolated:
        order = IsolateOrder(header=self.header(order_id), intent=intent or self.intent(), change=change)
        return self.inside(lambda: self.killswitch.isolate_host(order))

    def renew(self, change: HostChange, lease_seconds: int) -> Renewed:
        order = RenewOrder(header=self.header(), change=change, lease_seconds=lease_seconds)
        return self.inside(lambda: self.killswitch.renew_lease(order))

    def release(self, done: Isolated) -> Released:
        order = ReleaseOrder(header=self.header(), change=done.change, observation=done.observation)
        return self.inside(lambda: self.killswitch.release_host(order))

    def probe(
        self,
        *subject: ProbeTarget,
        bystanders: tuple[ProbeTarget, ...] = (),
        lifeline: tuple[LifelineEndpoint, ...] = (),
        while_doing: Callable[[], object] | None = None,
    ) -> Probed:
        """Probe; `while_doing` is done again and again meanwhile."""
        order = ProbeOrder(
            header=self.header(),
            subject=subject,
            bystanders=bystanders,
            lifeline=lifeline,
            silence_ms=PROBE_MS,
            connect_timeout_ms=PROBE_MS,
        )
        with ThreadPoolExecutor(max_workers=1) as pool:
            probing = pool.submit(self.inside, lambda: self.killswitch.probe_peers(order))
            while while_doing is not None and not probing.done():
                while_doing()
            return probing.result()

    def find(self, *destinations: str, ports: tuple[int, ...] = (), hints: tuple[ProcessRef, ...] = ()) -> Intruders:
        addresses = tuple(ip_address(address) for address in destinations)
        order = FindIntrudersOrder(header=self.header(), destinations=addresses, ports=ports, hints=hints)
        return self.inside(lambda: self.killswitch.find_intruders(order))

    def kill(self, *processes: ProcessRef) -> Killed:
        order = KillOrder(header=self.header(), processes=processes)
        return self.inside(lambda: self.killswitch.kill_process_groups(order))

    def resume(self) -> dict[str, str]:
        """What became of each table that is to stand."""
        return {found.table: found.outcome for found in self.inside(self.killswitch.resume)}

    def ruleset(self) -> Ruleset:
        return Ruleset(self.inside(self.nft.list_ruleset))

    def header(self, order_id: str = "") -> OrderHeader:
        return OrderHeader(
            order_id=order_id or f"order-{next(_order_numbers)}",
            host_id=self.host_id,
            incident_id="inc-1",
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )

    def close(self) -> None:
        for table in self.ruleset().our_tables:
            undo = isolation_rules.undo(table, ["eth0"], bridged=True)
            self.inside(partial(self.nft.apply, undo))
        self.stop()

    def stop(self) -> None:
        """End the agent; what stands goes on standing."""
        self.killswitch.close()
        self.nft.close()
        self.journal.close()


class Agents:
    """The agents of a lab, each made when it is first asked for."""

    def __init__(self, lab: Lab, state: Path) -> None:
        self._lab, self._state = lab, state
        self._made: dict[str, Agent] = {}

    def __getitem__(self, name: str) -> Agent:
        if name not in self._made:
            self._made[name] = Agent(self._lab[name], self._state / name)
        return self._made[name]

    def close(self) -> None:
        for agent in self._made.values():
            agent.close()


def target(host: LabHost, *ports: int) -> tuple[ProbeTarget, ProbeTarget]:
    """A host's addresses on the data network, as a probe names them."""
    return (
        ProbeTarget(host_id=host.machine_id, address=ip_address(host.ipv4), tcp_ports=ports),
        ProbeTarget(host_id=host.machine_id, address=ip_address(host.ipv6), tcp_ports=ports),
    )
