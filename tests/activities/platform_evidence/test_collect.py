"""Collecting from a platform, whichever it is: budget, hand-over, retries."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.contracts.evidence import Outcome, Source
from activities.contracts.platform_evidence import CollectPlatformOrder
from activities.evidence.platforms.collect import NotHandedOver
from activities.evidence.platforms.collecting import Bound, Draft, Found, Opened, Task
from activities.killswitch.platform import PermissionMissing
from segmentation.workloads import Workload
from tests.activities.platform_evidence.keeping import PREFIX, Kept, by_label, evidence, order

TARGET = Workload(workload_id="target-1", kind="ec2-instance", name="i-0abc")


class Killed(BaseException):
    """The process ends here: nothing of ours may catch it."""


@dataclass
class Estate:
    """A platform whose collectors are the test's."""

    collectors: Mapping[str, Bound]
    asked: list[str] = field(default_factory=list)

    def open(self, asked: CollectPlatformOrder) -> Opened:
        source = Source(kind="aws", resource_id=asked.target.workload_id, host=asked.target.name, provider="aws")
        return Opened(source, "tests", "1.0", self.collectors)


def counting() -> tuple[Bound, list[int]]:
    """A collector whose every reading is another one."""
    calls: list[int] = []

    def collect(_task: Task) -> Iterator[Found]:
        calls.append(len(calls))
        draft = Draft()
        draft.parts["nth"] = [len(calls)]
        yield draft.found("counted", ["tests count"])

    return Bound(3, "aws", collect), calls


def refused(_task: Task) -> Iterator[Found]:
    raise PermissionMissing("instance/i-0abc: ec2:DescribeVolumes is not allowed (UnauthorizedOperation).")


def broken(_task: Task) -> Iterator[Found]:
    raise KeyError("Reservations")


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_one_collector_that_fails_costs_the_others_nothing_and_names_what_it_lacked(kept: Kept, tmp_path: Path) -> None:
    counted, _ = counting()
    estate = Estate({"counted": counted, "refused": Bound(6, "aws", refused), "broken": Bound(7, "aws", broken)})

    items = by_label(evidence(estate.open, kept, tmp_path).collect_from_platform(order(TARGET)))

    assert {name: item.outcome.state for name, item in items.items()} == {
        "counted": "collected",
        "refused": "failed",
        "broken": "failed",
    }
    assert "ec2:DescribeVolumes is not allowed" in items["refused"].outcome.reason
    assert items["broken"].outcome.reason == "KeyError: 'Reservations'"
    assert list(items) == ["counted", "refused", "broken"], "in the order of volatility"
    assert all(item.evidence_id.startswith(PREFIX) for item in items.values())


def test_an_item_says_how_it_was_collected(kept: Kept, tmp_path: Path) -> None:
    (item,) = (
        evidence(Estate({"counted": counting()[0]}).open, kept, tmp_path).collect_from_platform(order(TARGET)).items
    )

    assert (item.acquisition.tool, item.acquisition.tool_version) == ("tests", "1.0")
    assert item.acquisition.command == ("tests count",)
    assert (item.source.kind, item.source.resource_id, item.volatility_rank) == ("aws", "target-1", 3)
    assert item.size == len(kept.artefacts[item.evidence_id])


def test_the_same_order_again_gives_the_same_items_and_asks_nothing(kept: Kept, tmp_path: Path) -> None:
    counted, calls = counting()
    asked = order(TARGET)
    first = evidence(Estate({"counted": counted}).open, kept, tmp_path).collect_from_platform(asked)
    again = evidence(Estate({"counted": counted}).open, kept, tmp_path).collect_from_platform(asked)

    assert again == first
    assert len(calls) == 1


def test_another_order_about_the_same_target_has_items_of_its_own(kept: Kept, tmp_path: Path) -> None:
    counted, _ = counting()
    collecting = evidence(Estate({"counted": counted}).open, kept, tmp_path)
    ids = {collecting.collect_from_platform(order(TARGET)).items[0].evidence_id for _ in range(2)}

    assert len(ids) == len(kept.artefacts) == 2


def test_what_was_collected_while_the_vault_was_away_is_what_is_handed_over_later(kept: Kept, tmp_path: Path) -> None:
    counted, calls = counting()
    asked, kept.is_away = order(TARGET), True
    collecting = evidence(Estate({"counted": counted}).open, kept, tmp_path)

    (item,) = collecting.collect_from_platform(asked).items
    assert item.outcome == Outcome(state="failed", reason="collected, but not in the vault: The vault does not answer.")

    kept.is_away = False
    (item,) = collecting.collect_from_platform(asked).items
    assert item.outcome.state == "collected"
    assert kept.document(item)["nth"] == [1]
    assert len(calls) == 1


def test_a_collector_that_was_ended_in_the_middle_goes_on_behind_what_it_had(kept: Kept, tmp_path: Path) -> None:
    read: list[str] = []

    def logs(task: Task) -> Iterator[Found]:
        for label in ("log-1", "log-2"):
            if task.is_kept(label):
                continue
            if label == "log-2" and read == ["log-1"]:
                read.append("died")
                raise Killed
            read.append(label)
            yield Found(label, Outcome(state="collected"), label.encode(), "text/plain", "log")

    asked = order(TARGET)
    collecting = evidence(Estate({"logs": Bound(3, "logs", logs)}).open, kept, tmp_path)
    with pytest.raises(Killed):
        collecting.collect_from_platform(asked)
    items = by_label(collecting.collect_from_platform(asked))

    assert list(items) == ["log-1", "log-2"]
    assert read == ["log-1", "died", "log-2"]


def test_a_collector_that_hangs_is_left_when_the_budget_is_spent_and_what_it_finds_later_changes_nothing(
    kept: Kept, tmp_path: Path
) -> None:
    let_go, ended = threading.Event(), threading.Event()

    def hanging(_task: Task) -> Iterator[Found]:
        let_go.wait(20)
        try:
            yield Found("late", Outcome(state="collected"), b"{}")
        finally:
            ended.set()

    counted, _ = counting()
    estate = Estate({"hanging": Bound(1, "aws", hanging), "counted": counted})
    started = time.monotonic()
    collected = evidence(estate.open, kept, tmp_path).collect_from_platform(order(TARGET, budget_seconds=1))
    took = time.monotonic() - started
    let_go.set()
    assert ended.wait(20)

    items = by_label(collected)
    assert took < 5
    assert items["counted"].outcome.state == "collected"
    assert items["hanging"].outcome.reason == "the time budget of 1 s was spent before it was done"
    assert list(kept.artefacts) == [items["counted"].evidence_id]


def test_names_of_other_peoples_choosing_become_ids_and_file_names_that_the_vault_takes(
    kept: Kept, tmp_path: Path
) -> None:
    hostile = "../../etc/passwd\x00" + "ä" * 300

    def collect(_task: Task) -> Iterator[Found]:
        yield Found(hostile, Outcome(state="collected"), b"x", "text/plain", "log")

    (item,) = (
        evidence(Estate({"logs": Bound(3, "logs", collect)}).open, kept, tmp_path)
        .collect_from_platform(order(TARGET))
        .items
    )

    assert len(item.evidence_id) <= 120
    assert "/" not in item.name
    assert item.outcome.state == "collected"


def test_an_item_that_is_larger_than_its_bound_is_not_handed_over(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.evidence.platforms.collect.MAX_ITEM_BYTES", 10)

    def collect(_task: Task) -> Iterator[Found]:
        yield Found("large", Outcome(state="collected"), b"x" * 11)

    (item,) = (
        evidence(Estate({"large": Bound(3, "aws", collect)}).open, kept, tmp_path)
        .collect_from_platform(order(TARGET))
        .items
    )

    assert (item.outcome.state, item.storage) == ("failed", None)
    assert "11 bytes, more than the 10" in item.outcome.reason


def in_time(left: timedelta, attempt: int) -> ActivityEnvironment:
    """A try that has so much left of half an hour."""
    environment, life = ActivityEnvironment(), timedelta(minutes=30)
    scheduled = datetime.now(UTC) + left - life
    environment.info = replace(
        environment.info, attempt=attempt, scheduled_time=scheduled, schedule_to_close_timeout=life
    )
    return environment


async def test_temporal_tries_again_while_the_vault_is_away_and_gets_what_was_collected_first(
    kept: Kept, tmp_path: Path
) -> None:
    counted, calls = counting()
    asked, kept.is_away = order(TARGET), True
    collecting = evidence(Estate({"counted": counted}).open, kept, tmp_path)
    beats: list[Any] = []
    for attempt in range(1, 6):
        environment = in_time(timedelta(minutes=10), attempt)
        environment.on_heartbeat = lambda *said: beats.append(said)
        with pytest.raises(NotHandedOver):
            environment.run(collecting.collect_from_platform, asked)

    kept.is_away = False
    (item,) = in_time(timedelta(minutes=1), 6).run(collecting.collect_from_platform, asked).items

    assert item.outcome.state == "collected"
    assert len(calls) == 1
    assert beats


async def test_an_item_that_never_gets_through_is_said_to_be_lost_in_the_end(kept: Kept, tmp_path: Path) -> None:
    kept.is_away = True
    collecting = evidence(Estate({"counted": counting()[0]}).open, kept, tmp_path)
    (item,) = in_time(timedelta(minutes=1), 1).run(collecting.collect_from_platform, order(TARGET)).items

    assert (item.outcome.state, item.storage) == ("failed", None)
