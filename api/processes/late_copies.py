"""Copying to the vault what was chained while it was away, without waiting for the next event of a case.

Owns the rounds. What is late stands in the ledger, so that nothing of it is lost with this process; a copy that was
altered is left as it was found, and said.
"""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from activities.evidence.agreement import copy_late
from activities.evidence.vault.interface import Vault
from activities.ledger.custody import Custody
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)
EVERY_SECONDS = 300.0


async def copy_late_documents(
    chains: Custody, open_vault: Callable[[], Vault], *, every_seconds: float = EVERY_SECONDS
) -> None:
    """A round now and then, until cancelled."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await asyncio.to_thread(copy_round, chains, open_vault)
        except (FirebreakError, SQLAlchemyError) as error:
            log.warning("late documents are not copied to the vault now, trying again", error=str(error)[:200])


def copy_round(chains: Custody, open_vault: Callable[[], Vault]) -> None:
    """Complete every copy that lags behind; one that can't be is not in the way of the others."""
    if not (late := chains.copies.behind()):
        return
    vault = open_vault()
    for case_id in late:
        try:
            failure = copy_late(chains, vault, case_id)
        except FirebreakError as error:
            log.warning("late documents of a case stay in the ledger for now", case=case_id, error=str(error)[:200])
            continue
        if failure:
            log.error("the vault's copy of a case was altered, nothing is added to it", case=case_id, why=failure)
