"""Links to single items of evidence: which were made, by whom, how often they were used, which were taken back.

Owns their rows. A use is counted in the transaction that allows it: a link for one use is used once, however many ask
at once. Never holds a token: what proves a link is the API's.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, Field
from sqlalchemy import insert, select, update

from activities.ledger.audit import AuditChain, AuditEntry
from activities.ledger.database import Database
from activities.ledger.tables import evidence_links
from segmentation.workloads import Frozen, Name


class EvidenceLink(Frozen):
    """One link. `made_by` is the actor as records name them."""

    link_id: Name
    case_id: Name
    evidence_id: Name
    made_by: str
    purpose: str
    view: Literal["bytes", "preview"] = Field(default="bytes", description="What it shows.")
    single_use: bool = False
    made_at: AwareDatetime
    expires_at: AwareDatetime


class LinkState(Frozen):
    """A link and what became of it."""

    link: EvidenceLink
    uses: int
    revoked_at: AwareDatetime | None = None


class EvidenceLinks:
    """The links' room of the ledger."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database, self._audit = database, audit

    def add(self, link: EvidenceLink) -> None:
        """Keep a new link; who made it and what for is in the audit chain too."""
        row = {
            "link_id": link.link_id,
            "case_id": link.case_id,
            "evidence_id": link.evidence_id,
            "document": link.model_dump_json(),
            "expires_at": link.expires_at,
            "uses": 0,
        }
        with self._database.write() as connection:
            connection.execute(insert(evidence_links).values(row))
            self._audit.append_within(connection, [_entry("evidence-link.made", link.made_by, link)])

    def use(self, link_id: str) -> EvidenceLink | None:
        """Count a use, and the link; None where it is unknown, expired, taken back or used up."""
        mine = evidence_links.c.link_id == link_id
        with self._database.write() as connection:
            row = connection.execute(select(evidence_links).where(mine).with_for_update()).one_or_none()
            if row is None or row.revoked_at is not None or row.expires_at <= datetime.now(UTC):
                return None
            link = EvidenceLink.model_validate_json(row.document)
            if link.single_use and row.uses:
                return None
            connection.execute(update(evidence_links).where(mine).values(uses=row.uses + 1))
        return link

    def revoke(self, case_id: str, evidence_id: str, link_id: str, actor: str) -> bool:
        """Take a link back; whether there was one. Taking it back again changes nothing."""
        known = evidence_links.c
        mine = (known.link_id == link_id, known.case_id == case_id, known.evidence_id == evidence_id)
        with self._database.write() as connection:
            row = connection.execute(select(known.document, known.revoked_at).where(*mine)).one_or_none()
            if row is None:
                return False
            if row.revoked_at is None:
                connection.execute(update(evidence_links).where(*mine).values(revoked_at=datetime.now(UTC)))
                link = EvidenceLink.model_validate_json(row.document)
                self._audit.append_within(connection, [_entry("evidence-link.revoked", actor, link)])
        return True

    def of(self, case_id: str, evidence_id: str) -> list[LinkState]:
        """Every link that was ever made to an item, the newest first."""
        known = evidence_links.c
        query = select(known.document, known.uses, known.revoked_at).where(
            known.case_id == case_id, known.evidence_id == evidence_id
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(known.expires_at.desc(), known.link_id).limit(500)).all()
        return [
            LinkState(link=EvidenceLink.model_validate_json(document), uses=uses, revoked_at=revoked_at)
            for document, uses, revoked_at in rows
        ]


def _entry(kind: str, actor: str, link: EvidenceLink) -> AuditEntry:
    return AuditEntry(kind=kind, actor=actor, body=link.model_dump(mode="json"), incident_id=link.case_id)
