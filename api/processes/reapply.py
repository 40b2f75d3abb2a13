"""`firebreak agent --reapply`: has everything stand again that a reboot has taken away, and ends.

Owns the assembly of what that needs, and nothing more: it runs before there is a network. Never joins, never talks to
anybody, never prolongs a lease.
"""

import structlog

from activities.host.nft import Nft
from activities.host.reapply import Reapplied, Reapplier
from activities.host.standing import Standings, read_boot_id
from activities.orders.journal import OrderJournal
from api.processes.joining import load_identity
from api.settings import AgentSettings

log = structlog.get_logger(__name__)
JOURNAL = "journal.db"


def run_reapply(settings: AgentSettings) -> int:
    """Load it and say what was done; 1 where something that has to stand could not be loaded whole."""
    identity, path = load_identity(settings.state_dir), settings.state_dir / JOURNAL
    if identity is None or not path.exists():
        log.info("nothing has ever been contained here", state_dir=str(settings.state_dir))
        return 0
    journal, nft = OrderJournal(path), Nft()
    try:
        done = Reapplier(identity.workload.workload_id, Standings(journal), nft, read_boot_id()).run()
        impaired = journal.impaired
    finally:
        nft.close()
        journal.close()
    tell_reapplied(done)
    if impaired:
        log.error("the journal can't be read whole: what has to stand may be missing", problem=impaired)
    return int(bool(impaired) or any(found.incomplete for found in done))


def tell_reapplied(done: tuple[Reapplied, ...]) -> None:
    """Log what became of each containment."""
    for found in done:
        tell = log.error if found.incomplete else log.info
        tell("containment", table=found.table, outcome=found.outcome, detail=found.detail)
