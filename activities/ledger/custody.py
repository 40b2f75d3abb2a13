"""Chains of evidence: the manifests of a case and what happened to its items.

Owns the order and the links of both chains. What a manifest says is built by the caller, who is told its
place. Nothing here updates or deletes.

    ledger.custody.append_manifest("inc-1f2e", lambda seq, prev: Manifest(seq=seq, prev_hash=prev, ...))
"""

import hashlib
from collections.abc import Callable

from sqlalchemy import Connection, Table, insert, select

from activities.contracts.custody import CustodyEvent, Manifest
from activities.contracts.evidence import CollectedItem
from activities.ledger.copies import Copies
from activities.ledger.database import Database
from activities.ledger.errors import ChainConflict
from activities.ledger.evidence import found_by
from activities.ledger.tables import custody_events, evidence_index, manifests
from playbooks.canonical import canonical

GENESIS = "0" * 64


class Custody:
    """The evidence's room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.copies = Copies(database)

    def append_manifest(self, case_id: str, build: Callable[[int, str], Manifest]) -> Manifest:
        """Chain one item into its case; an item that is chained already is returned as it stands.

        Raises:
            ChainConflict: the built manifest has another place, or its id is known with other content.
        """
        with self._database.write() as connection:
            self._database.lock(connection, f"case:{case_id}")
            seq, prev_hash = _place(connection, manifests, case_id)
            built = build(seq, prev_hash)
            _check_place(built.case_id, built.seq, built.prev_hash, expected=(case_id, seq, prev_hash))
            known = _known_manifest(connection, built)
            if known is not None:
                return known
            row = {"case_id": case_id, "seq": seq, "evidence_id": built.item.evidence_id}
            connection.execute(insert(manifests).values(row | _document(built)))
            connection.execute(insert(evidence_index).values(found_by(built)))
        return built

    def manifests(self, case_id: str, after: int = 0) -> list[Manifest]:
        """The chain of a case, in order, from behind that place on."""
        with self._database.read() as connection:
            documents = _documents(connection, manifests, case_id, after)
            return [Manifest.model_validate_json(document) for document in documents]

    def manifest(self, case_id: str, evidence_id: str) -> Manifest | None:
        """One item of a case, if there is one."""
        with self._database.read() as connection:
            document = _find(connection, manifests, case_id, manifests.c.evidence_id == evidence_id)
        return Manifest.model_validate_json(document) if document is not None else None

    def append_custody(self, case_id: str, build: Callable[[int, str], CustodyEvent]) -> CustodyEvent:
        """Chain one event; an event whose id is known is returned as it stands.

        Raises:
            ChainConflict: the built event has another place.
        """
        with self._database.write() as connection:
            self._database.lock(connection, f"custody:{case_id}")
            seq, prev_hash = _place(connection, custody_events, case_id)
            built = build(seq, prev_hash)
            _check_place(built.case_id, seq, built.prev_event_hash, expected=(case_id, seq, prev_hash))
            known = _find(connection, custody_events, case_id, custody_events.c.event_id == built.event_id)
            if known is not None:
                return CustodyEvent.model_validate_json(known)
            row = {"case_id": case_id, "seq": seq, "event_id": built.event_id}
            connection.execute(insert(custody_events).values(row | _document(built)))
        return built

    def custody(self, case_id: str, after: int = 0) -> list[CustodyEvent]:
        """What happened to the items of a case, in order, from behind that place on."""
        with self._database.read() as connection:
            documents = _documents(connection, custody_events, case_id, after)
            return [CustodyEvent.model_validate_json(document) for document in documents]


def _place(connection: Connection, chain: Table, case_id: str) -> tuple[int, str]:
    last = connection.execute(
        select(chain.c.seq, chain.c.hash).where(chain.c.case_id == case_id).order_by(chain.c.seq.desc()).limit(1)
    ).one_or_none()
    return (last.seq + 1, last.hash) if last is not None else (1, GENESIS)


def _check_place(case_id: str, seq: int, prev_hash: str, *, expected: tuple[str, int, str]) -> None:
    if (case_id, seq, prev_hash) != expected:
        raise ChainConflict(
            f"Place {seq} after {prev_hash[:12]} of case {case_id} was built, "
            f"place {expected[1]} after {expected[2][:12]} of case {expected[0]} is next.",
            hint="Build with the place that is handed in.",
        )


def _known_manifest(connection: Connection, built: Manifest) -> Manifest | None:
    mine = manifests.c.evidence_id == built.item.evidence_id
    document = _find(connection, manifests, built.case_id, mine)
    if document is None:
        return None
    known = Manifest.model_validate_json(document)
    if _collected(known) != _collected(built):
        raise ChainConflict(
            f"Evidence {built.item.evidence_id} of case {built.case_id} is chained with other content.",
            hint="An item is never replaced: give the new one its own id and name it in derived_from.",
        )
    return known


def _collected(manifest: Manifest) -> CollectedItem:
    """The item without how it is kept: a hold that was set since makes it no other item."""
    return manifest.item.model_copy(update={"storage": None})


def _find(connection: Connection, chain: Table, case_id: str, mine: object) -> str | None:
    query = select(chain.c.document).where(chain.c.case_id == case_id).where(mine)  # type: ignore[arg-type]
    return connection.execute(query).scalar()


def _document(built: Manifest | CustodyEvent) -> dict[str, str]:
    document = canonical(built)
    return {"document": document.decode(), "hash": hashlib.sha256(document).hexdigest()}


def _documents(connection: Connection, chain: Table, case_id: str, after: int) -> list[str]:
    query = select(chain.c.document).where(chain.c.case_id == case_id).where(chain.c.seq > after)
    query = query.order_by(chain.c.seq)
    return list(connection.execute(query).scalars())
