"""Proving a containment from where the intruder is not.

Owns whom to ask and whose answer counts for what. The verdict drawn from the answers is in `playbooks.proof`.

    proof = await Prover(start, orders).prove(until=lambda: released)
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import LifelineOrder, Probed, ProbeOrder, ProbeTarget
    from activities.contracts.response import ContainStart
    from playbooks.proof import Measurement, Proof, conclude
    from segmentation.workloads import Workload

from workflows.orders import Orders, give, reason_of

# A proof that is not effective is measured again: a witness may have been busy, a session may take its time to die.
ATTEMPTS = 3
WITNESSES = 5
# A probe takes about a second. A witness that is switched off must not hold up the proof of the others.
PATIENCE = timedelta(seconds=15)


class Prover:
    """Asks the witnesses of one containment."""

    def __init__(self, start: ContainStart, orders: Orders) -> None:
        self._start = start
        self._orders = orders

    async def prove(self, until: Callable[[], bool]) -> Proof:
        """Measure until it is effective, or tried often enough, or there is no containment to prove any more."""
        proof = Proof(verdict="unproven")
        for attempt in range(ATTEMPTS):
            if attempt and until():
                break
            if attempt:
                await workflow.sleep(1)
            witnesses = (self._ask_witness(witness) for witness in self._start.witnesses[:WITNESSES])
            answers = await asyncio.gather(*witnesses, self._ask_lifeline())
            proof = conclude(tuple(m for answer in answers for m in answer))
            if proof.verdict == "effective":
                break
        return proof

    async def _ask_witness(self, witness: Workload) -> tuple[Measurement, ...]:
        start = self._start
        others = tuple(w for w in start.witnesses if w.workload_id != witness.workload_id)
        order = ProbeOrder(
            header=self._orders.header(witness),
            subject=_addresses(start.target),
            bystanders=tuple(address for other in others for address in _addresses(other)),
            lifeline=start.intent.lifeline,
        )
        try:
            probed = await give(witness, "probe_peers", order, Probed, seconds=10, patience=PATIENCE)
        except FailureError as error:
            workflow.logger.warning("witness %s could not measure: %s", witness.name, reason_of(error))
            return ()
        return _own_words(probed, witness)

    async def _ask_lifeline(self) -> tuple[Measurement, ...]:
        target = self._start.target
        order = LifelineOrder(header=self._orders.header(target), intent=self._start.intent)
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


def _addresses(workload: Workload) -> tuple[ProbeTarget, ...]:
    return tuple(
        ProbeTarget(host_id=workload.workload_id, address=address, tcp_ports=workload.tcp_ports)
        for address in workload.addresses
    )
