from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from activities.ledger.evidence import EvidenceFilter
from activities.ledger.ledger import Ledger
from activities.ledger.links import EvidenceLink
from activities.ledger.schema import MIGRATIONS
from playbooks.canonical import canonical
from tests.activities.ledger.making import START, at_once
from tests.activities.ledger.test_custody import building
from tests.activities.ledger.test_schema import driver_url, empty_url

__all__ = ["empty_url"]


def link(**said: object) -> EvidenceLink:
    now = datetime.now(UTC)
    known = {
        "link_id": "lnk-1",
        "case_id": "inc-1",
        "evidence_id": "packets-1",
        "made_by": "user:alice",
        "purpose": "court",
        "made_at": now,
        "expires_at": now + timedelta(minutes=5),
    }
    return EvidenceLink.model_validate(known | said)


def test_items_are_found_and_paged_on_both_databases(ledger: Ledger) -> None:
    for case_id in ("inc-1", "inc-2"):
        for number in range(3):
            ledger.custody.append_manifest(case_id, building(f"packets-{number}", case_id))
    assert (
        len(ledger.evidence.find(EvidenceFilter(host="WEB", kind="packets", text="packets-", tlp="AMBER")).items) == 6
    )
    assert ledger.evidence.find(EvidenceFilter(text="\0%_")).items == ()
    assert ledger.evidence.find(EvidenceFilter(since=START + timedelta(microseconds=1))).items == ()
    seen, cursor = [], None
    while True:
        page = ledger.evidence.find(EvidenceFilter(since=START), limit=2, cursor=cursor)
        seen += [(manifest.case_id, manifest.seq) for manifest in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [(case, seq) for case in ("inc-2", "inc-1") for seq in (3, 2, 1)]


def test_items_of_before_there_was_an_index_are_found(empty_url: str) -> None:
    engine = create_engine(driver_url(empty_url))
    manifest = building("packets-1")(1, "0" * 64)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        row = {"document": canonical(manifest).decode(), "hash": "ab" * 32}
        insert = "insert into manifests (case_id, seq, evidence_id, document, hash) values ('inc-1', 1, 'packets-1', "
        connection.execute(text(f"{insert}:document, :hash)"), row)
    engine.dispose()

    ledger = Ledger.open(empty_url)
    until = START + timedelta(seconds=1)
    assert ledger.evidence.find(EvidenceFilter(host="web", since=START, until=until)).items == (manifest,)
    ledger.close()


def test_a_link_for_one_use_is_used_once_by_processes_together(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    ledgers[0].evidence_links.add(link(single_use=True))
    used = at_once([partial(ledgers[n % 2].evidence_links.use, "lnk-1") for n in range(4)])
    assert sorted(found is not None for found in used) == [False, False, False, True]


@pytest.mark.parametrize("ended", [{"expires_at": START}, {"link_id": "lnk-2"}])
def test_a_link_that_is_over_is_not_used(ledger: Ledger, ended: dict[str, object]) -> None:
    ledger.evidence_links.add(link(**ended))
    assert ledger.evidence_links.use("lnk-1") is None


def test_a_link_is_taken_back_by_its_whole_name(ledger: Ledger) -> None:
    ledger.evidence_links.add(link())
    assert not ledger.evidence_links.revoke("inc-2", "packets-1", "lnk-1", "user:bob")
    assert ledger.evidence_links.use("lnk-1") == link(
        **ledger.evidence_links.of("inc-1", "packets-1")[0].link.model_dump()
    )
    assert ledger.evidence_links.revoke("inc-1", "packets-1", "lnk-1", "user:bob")
    assert ledger.evidence_links.use("lnk-1") is None
    (state,) = ledger.evidence_links.of("inc-1", "packets-1")
    assert (state.uses, state.revoked_at is not None) == (1, True)
    assert ledger.audit.verify().ok
