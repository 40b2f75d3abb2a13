"""Proving a containment from where the intruder is not.

Owns whom to ask and whose answer counts for what. The verdict drawn from the answers is in `playbooks.proof`.

    proof = await Prover(start, intent, orders).prove(until=lambda: released)
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.probing import LifelineOrder, Probed, ProbeOrder, ProbeTarget
    from activities.contracts.response import ContainStart
    from playbooks.host_isolation import IsolationIntent
    from playbooks.isolation_modes import IsolateAll, Mode, Session, cuts, silences
    from playbooks.proof import Measurement, Proof, conclude
    from segmentation.workloads import Workload

from workflows.listing import of_proof
from workflows.orders import Orders, give, reason_of

# A proof that is not effective is measured again: a witness may have been busy, a session may take its time to die.
ATTEMPTS = 3
WITNESSES = 5
# A probe takes about a second. A witness that is switched off must not hold up the proof of the others.
PATIENCE = timedelta(seconds=15)


# What is measured of single ports. That a host is silent says nothing where some of its traffic goes on.
BY_PORT = {"new", "bystander"}


class View(NamedTuple):
    """The target as one witness may measure it: what has to be cut from there, and what has to stay."""

    cut: tuple[ProbeTarget, ...]
    stays: tuple[ProbeTarget, ...] = ()
    silent: bool = True


class Prover:
    """Asks the witnesses of one containment."""

    def __init__(self, start: ContainStart, intent: IsolationIntent, orders: Orders) -> None:
        self._start = start
        self._intent = intent
        self._orders = orders

    async def prove(self, until: Callable[[], bool]) -> Proof:
        """Measure until it is effective, or tried often enough, or there is no containment to prove any more."""
        proof = Proof(verdict="unproven")
        for attempt in range(ATTEMPTS):
            if attempt and until():
                break
            if attempt:
                await workflow.sleep(1)
            # Of those whom a narrower mode names, too: a peer that is blocked may come late in the list.
            asked = sorted(self._start.witnesses, key=lambda w: not self._view(w).cut)[:WITNESSES]
            witnesses = (self._ask_witness(witness) for witness in asked)
            answers = await asyncio.gather(*witnesses, self._ask_lifeline())
            proof = conclude(tuple(m for answer in answers for m in answer))
            if proof.verdict == "effective":
                break
        return of_proof(proof)

    async def _ask_witness(self, witness: Workload) -> tuple[Measurement, ...]:
        start, view = self._start, self._view(witness)
        if not view.cut and not view.stays:
            return ()
        others = tuple(w for w in start.witnesses if w.workload_id != witness.workload_id)
        controls = tuple(address for other in others for address in _addresses(other))
        order = ProbeOrder(
            header=self._orders.header(witness),
            subject=view.cut or view.stays,
            bystanders=(*controls, *view.stays) if view.cut else controls,
            lifeline=self._intent.lifeline,
        )
        try:
            probed = await give(witness, "probe_peers", order, Probed, seconds=10, patience=PATIENCE)
        except FailureError as error:
            workflow.logger.warning("witness %s could not measure: %s", witness.name, reason_of(error))
            return ()
        return as_viewed(_own_words(probed, witness), view)

    def _view(self, witness: Workload) -> View:
        """All of the target, or what a narrower mode cuts of it as this witness can tell."""
        return view_of(self._intent.mode, self._start.target, witness)

    async def _ask_lifeline(self) -> tuple[Measurement, ...]:
        target = self._start.target
        order = LifelineOrder(header=self._orders.header(target), intent=self._intent)
        try:
            probed = await give(target, "probe_lifeline", order, Probed, seconds=10, patience=PATIENCE)
        except FailureError as error:
            workflow.logger.warning("lifeline of %s is silent: %s", target.name, reason_of(error))
            return ()
        return tuple(m for m in _own_words(probed, target) if m.aspect == "lifeline")


def _own_words(probed: Probed, host: Workload) -> tuple[Measurement, ...]:
    """What a host itself signed and measured: nobody speaks for another, least of all a contained host for its witness.

    A result without the host's signature could have been written by anybody who reaches its queue.
    """
    if probed.attested_by != host.workload_id:
        return ()
    return tuple(m for m in probed.measurements if m.witness == host.workload_id)


def view_of(mode: Mode, target: Workload, witness: Workload) -> View:
    """Per address of the target, as the witness's addresses of that family have it. Pure."""
    whole = _addresses(target)
    if isinstance(mode, IsolateAll):
        return View(whole)
    cut, stays, silent = [], [], True
    for found in whole:
        near = [address for address in witness.addresses if address.version == found.address.version]
        verdicts = {port: {_is_cut(mode, found, port, address) for address in near} for port in found.tcp_ports}
        quiet = bool(near) and all(silences(mode, address) for address in near)
        closed = tuple(port for port, verdict in verdicts.items() if verdict == {True})
        if quiet or closed:
            cut.append(found.model_copy(update={"tcp_ports": closed}))
            silent = silent and quiet
        # What depends on which address the witness happens to use is neither.
        if open_ports := tuple(port for port, verdict in verdicts.items() if verdict == {False}):
            stays.append(found.model_copy(update={"tcp_ports": open_ports}))
    return View(tuple(cut), tuple(stays), silent)


def _is_cut(mode: Mode, target: ProbeTarget, port: int, witness: IPv4Address | IPv6Address) -> bool:
    # The port that the witness will connect from is not known, and no service of its own.
    return cuts(mode, Session(target.address, port, witness, 0, "tcp", "in"))


def as_viewed(measured: tuple[Measurement, ...], view: View) -> tuple[Measurement, ...]:
    """Only what the view lets be concluded: a host that a witness may reach is, for that witness, a bystander."""
    if view.cut:
        return tuple(m for m in measured if view.silent or m.aspect in BY_PORT)
    spared = (m.model_copy(update={"aspect": "bystander"}) for m in measured if m.aspect == "new")
    return (*spared, *(m for m in measured if m.aspect == "bystander"))


def _addresses(workload: Workload) -> tuple[ProbeTarget, ...]:
    return tuple(
        ProbeTarget(host_id=workload.workload_id, address=address, tcp_ports=workload.tcp_ports)
        for address in workload.addresses
    )
