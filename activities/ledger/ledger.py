"""The ledger: one database, one room per concern.

Owns opening (schema included) and closing. The rooms own everything else. Safe for threads; several
processes may open the same ledger.

    ledger = Ledger.open("sqlite:////var/lib/firebreak/ledger.db")
    ledger.intake.accept(received)
"""

from typing import Self

from sqlalchemy import text

from activities.ledger.audit import AuditChain
from activities.ledger.custody import Custody
from activities.ledger.database import Database
from activities.ledger.evidence import EvidenceIndex
from activities.ledger.hosts import Hosts
from activities.ledger.incidents import Incidents
from activities.ledger.intake import Intake
from activities.ledger.join_tokens import JoinTokens
from activities.ledger.links import EvidenceLinks
from activities.ledger.refusals import Refusals
from activities.ledger.reservations import Reservations
from activities.ledger.schema import migrate
from activities.ledger.stop import GlobalStop


class Ledger:
    """Everything that outlives a process, except Temporal's histories and the evidence itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.audit = AuditChain(database)
        self.custody = Custody(database)
        self.evidence = EvidenceIndex(database)
        self.evidence_links = EvidenceLinks(database, self.audit)
        self.hosts = Hosts(database)
        self.incidents = Incidents(database, self.audit)
        self.intake = Intake(database, self.hosts)
        self.join_tokens = JoinTokens(database, self.hosts)
        self.refusals = Refusals(database)
        self.reservations = Reservations(database)
        self.stop = GlobalStop(database, self.audit)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open `sqlite:///PATH` or `postgresql://...` and bring its schema up to date.

        Raises:
            LedgerUnusable: the address is none of these, or a newer version wrote this ledger.
        """
        database = Database.open(url)
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def ping(self) -> None:
        """One round trip; raises what the database raises."""
        with self._database.read() as connection:
            connection.execute(text("select 1"))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()
