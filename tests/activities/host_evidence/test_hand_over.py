"""Handing over to a vault that is away: what it costs, and who is told what."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.contracts.collecting import Collected, CollectVolatileOrder
from activities.contracts.evidence import Acquisition, Outcome, Storage
from activities.contracts.orders import OrderHeader
from activities.host.artefacts import Artefact, EvidenceSender, HostFacts, digest_of
from activities.host.collection import HostEvidence
from activities.host.recorder import FlightRecorder, RecorderSettings
from activities.host.upload import Sent
from activities.host.upload_errors import UploadFailed
from activities.host.volatile import VolatileCollector
from tests.activities.host_evidence.hosts import RECORDER

HALF_AN_HOUR = timedelta(minutes=30)


class Away:
    """A vault that takes nothing of `refused`, and keeps who asked with how much patience."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.asked: list[tuple[str, bool]] = []
        self.inside, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def send(
        self,
        incident_id: str,
        evidence_id: str,
        name: str,
        path: Path,
        progress: Callable[[int], None] = lambda _: None,
        *,
        once: bool = False,
    ) -> Sent:
        self.asked.append((name, once))
        self.inside.set()
        assert self.go_on.wait(20)
        if name in self.refused:
            raise UploadFailed(f"no way for {name}")
        sha256 = digest_of(path)
        return Sent(path.stat().st_size, sha256, Storage(uri=f"memory:{evidence_id}", checksum=sha256))


class Collecting(VolatileCollector):
    """Some files, instead of what this machine has."""

    def __init__(self, facts: HostFacts, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(facts)
        self._files = [folder / name for name in names]
        self.begun = 0

    def collect(
        self, order: CollectVolatileOrder, folder: Path, deadline: float, beat: Callable[[], None] = lambda: None
    ) -> Iterator[Artefact]:
        self.begun += 1
        now = datetime.now(UTC)
        for path in self._files:
            path.write_text(path.name)
            acquisition = Acquisition(tool="tests", started=now, ended=now)
            yield Artefact(
                path.name, "volatile", path.name, "text/plain", Outcome(state="collected"), acquisition, 1, path
            )


class Desk:
    """One host's evidence, about `names`."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        facts = HostFacts.read("9f2c", "web")
        recorder = FlightRecorder(
            folder / "state",
            RecorderSettings.model_validate({**RECORDER, "enabled": False}),
            facts.host,
            lambda _: None,
        )
        self.vault, self.volatile = Away(), Collecting(facts, folder, names)
        self._evidence = HostEvidence(recorder, EvidenceSender(facts, self.vault), self.volatile)

    def collect(self, life: timedelta = HALF_AN_HOUR, order_id: str = "o-1", continues: str = "") -> Collected:
        expires = datetime.now(UTC) + life
        header = OrderHeader(order_id=order_id, host_id="9f2c", incident_id="inc-1", expires_at=expires)
        order = CollectVolatileOrder(header=header, collect=(), budget_seconds=5, continues=continues)
        return self._evidence.collect_volatile(order)


def test_a_vault_that_is_away_is_waited_for_once_and_not_for_every_artefact(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("a", "b", "c", "d", "e"))
    desk.vault.refused = {"a", "b", "c", "d", "e"}
    with pytest.raises(UploadFailed, match="no way for a"):
        desk.collect()
    assert desk.vault.asked == [("a", False), ("b", True), ("c", True)]


def test_an_artefact_that_fails_does_not_keep_the_others_from_the_vault(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("a", "b", "c"))
    desk.vault.refused = {"a"}
    with pytest.raises(UploadFailed):
        desk.collect()
    assert desk.vault.asked == [("a", False), ("b", True), ("c", True)]
    desk.vault.refused = set()
    assert all(item.storage for item in desk.collect().items)


def test_the_last_try_says_of_each_item_what_became_of_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("a", "b", "c", "d", "e"))
    desk.vault.refused = {"a", "b", "c", "d", "e"}
    items = desk.collect(timedelta(minutes=1)).items
    assert [(item.outcome.state, item.size, item.storage) for item in items] == [("failed", 1, None)] * 5
    assert all("not in the vault" in item.outcome.reason for item in items)


def test_two_tries_of_one_order_at_once_collect_and_hand_over_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("a", "b"))
    desk.vault.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(desk.collect)
        assert desk.vault.inside.wait(20)
        second = pool.submit(desk.collect)
        desk.vault.go_on.set()
        assert first.result(20) == second.result(20)
    assert desk.vault.asked == [("a", False), ("b", False)]
    assert desk.volatile.begun == 1


def test_an_order_that_continues_another_one_gives_its_items(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ("a",))
    first = desk.collect()
    assert desk.collect(order_id="o-2", continues="o-1") == first
    assert desk.volatile.begun == 1
