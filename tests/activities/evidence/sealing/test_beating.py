"""The beat of a seal: as long as it is at work, and no longer."""

import threading

import pytest
from temporalio.testing import ActivityEnvironment

from activities.contracts.custody import SealCase
from activities.evidence.sealing.beating import beating
from tests.activities.evidence.items import CASE
from tests.activities.evidence.sealed import SealedCase


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.evidence.sealing.beating.BEAT_SECONDS", 0.001)


@pytest.fixture
def beats() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def environment(beats: threading.Semaphore) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.on_heartbeat = lambda *_: beats.release()
    return made


def test_work_that_waits_beats_until_it_ends(environment: ActivityEnvironment, beats: threading.Semaphore) -> None:
    @beating()
    def work(answer: int) -> int:
        assert all(beats.acquire(timeout=10) for _ in range(3))
        return answer

    assert environment.run(work, 7) == 7
    assert "beating" not in {thread.name for thread in threading.enumerate()}


def test_error_ends_the_beat_and_is_raised(environment: ActivityEnvironment) -> None:
    @beating()
    def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        environment.run(work)
    assert "beating" not in {thread.name for thread in threading.enumerate()}


def test_outside_of_an_activity_nobody_is_told() -> None:
    with beating():
        assert "beating" not in {thread.name for thread in threading.enumerate()}


def test_sealing_beats_while_its_vault_takes_its_time(
    unstamped: SealedCase,
    environment: ActivityEnvironment,
    beats: threading.Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    retain_case = unstamped.vault.retain_case

    def slowly(*asked: object) -> None:
        assert beats.acquire(timeout=30)
        retain_case(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(unstamped.vault, "retain_case", slowly)
    request = SealCase(incident_id=CASE, actor="user:ada", purpose="test")
    assert environment.run(unstamped.sealing.seal_case, request).number == 1
