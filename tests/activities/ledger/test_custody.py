import hashlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from activities.contracts.custody import Authority, CustodyEvent, Manifest, Principal, WorkflowRef
from activities.contracts.evidence import Acquisition, CollectedItem, Outcome, Source
from activities.ledger.custody import GENESIS
from activities.ledger.errors import ChainConflict
from activities.ledger.ledger import Ledger
from playbooks.canonical import canonical
from tests.activities.ledger.making import START, at_once


def item(evidence_id: str, size: int = 7) -> CollectedItem:
    return CollectedItem(
        evidence_id=evidence_id,
        kind="packets",
        name="ring.pcapng",
        media_type="application/x-pcapng",
        size=size,
        sha256="ab" * 32,
        outcome=Outcome(state="collected"),
        source=Source(resource_id="id-web", host="web"),
        acquisition=Acquisition(tool="dumpcap", started=START, ended=START, clock_offset_ms=0.25),
        volatility_rank=2,
    )


def building(evidence_id: str, case_id: str = "inc-1", size: int = 7) -> Callable[[int, str], Manifest]:
    def build(seq: int, prev_hash: str) -> Manifest:
        return Manifest(
            case_id=case_id,
            seq=seq,
            prev_hash=prev_hash,
            item=item(evidence_id, size),
            collector=Principal(principal="web", role="agent"),
            authority=Authority(),
            containment_state_at_capture="isolated",
            workflow=WorkflowRef(workflow_id="w", run_id="r", activity_id="1", attempt=1),
        )

    return build


def event(action: str, event_id: str = "", evidence_id: str = "packets-1") -> Callable[[int, str], CustodyEvent]:
    def build(seq: int, prev_hash: str) -> CustodyEvent:
        return CustodyEvent.model_validate(
            {
                "event_id": event_id or f"event-{seq}",
                "case_id": "inc-1",
                "evidence_id": evidence_id,
                "action": action,
                "actor": "user:alice",
                "at": START,
                "purpose": "court",
                "prev_event_hash": prev_hash,
            }
        )

    return build


def test_manifests_form_a_chain_that_begins_with_zeros(ledger: Ledger) -> None:
    first = ledger.custody.append_manifest("inc-1", building("packets-1"))
    second = ledger.custody.append_manifest("inc-1", building("packets-2"))
    assert (first.seq, first.prev_hash) == (1, GENESIS)
    assert (second.seq, second.prev_hash) == (2, hashlib.sha256(canonical(first)).hexdigest())
    assert ledger.custody.manifests("inc-1") == [first, second]


def test_each_case_has_a_chain_of_its_own(ledger: Ledger) -> None:
    ledger.custody.append_manifest("inc-1", building("packets-1"))
    other = ledger.custody.append_manifest("inc-2", building("packets-1", "inc-2"))
    assert other.seq == 1


def test_an_item_that_is_chained_already_is_returned_as_it_stands(ledger: Ledger) -> None:
    first = ledger.custody.append_manifest("inc-1", building("packets-1"))
    assert ledger.custody.append_manifest("inc-1", building("packets-1")) == first
    assert len(ledger.custody.manifests("inc-1")) == 1


def test_other_content_under_a_known_id_is_refused(ledger: Ledger) -> None:
    ledger.custody.append_manifest("inc-1", building("packets-1", size=7))
    with pytest.raises(ChainConflict, match="other content"):
        ledger.custody.append_manifest("inc-1", building("packets-1", size=8))


def test_a_manifest_built_for_another_place_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ChainConflict, match="place 1"):
        ledger.custody.append_manifest("inc-1", lambda seq, prev: building("packets-1")(seq + 1, prev))
    with pytest.raises(ChainConflict, match="case inc-1"):
        ledger.custody.append_manifest("inc-1", building("packets-1", "inc-2"))


def test_custody_events_form_a_chain(ledger: Ledger) -> None:
    first = ledger.custody.append_custody("inc-1", event("collect"))
    second = ledger.custody.append_custody("inc-1", event("access"))
    assert first.prev_event_hash == GENESIS
    assert second.prev_event_hash == hashlib.sha256(canonical(first)).hexdigest()
    assert ledger.custody.custody("inc-1") == [first, second]


def test_an_event_told_twice_happened_once(ledger: Ledger) -> None:
    first = ledger.custody.append_custody("inc-1", event("collect", "packets-1.collect"))
    ledger.custody.append_custody("inc-1", event("access"))
    assert ledger.custody.append_custody("inc-1", event("collect", "packets-1.collect")) == first
    assert len(ledger.custody.custody("inc-1")) == 2


def test_writers_at_once_make_one_chain_per_case(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    at_once([partial(ledgers[n % 2].custody.append_manifest, "inc-1", building(f"packets-{n}")) for n in range(6)])
    chain = ledgers[0].custody.manifests("inc-1")
    assert [manifest.seq for manifest in chain] == [1, 2, 3, 4, 5, 6]
    for before, after in pairwise(chain):
        assert after.prev_hash == hashlib.sha256(canonical(before)).hexdigest()
