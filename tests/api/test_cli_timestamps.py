"""The command line about timestamps that come later: what an export says, how the rest is fetched, how it ends."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import FastAPI
from typer.testing import Result

from activities.evidence.sealing.seal import Sealing
from activities.evidence.sealing.timestamps import TimestampAuthority
from activities.evidence.sealing.trust import Trust
from api.dependencies import ApiDependencies
from tests.activities.evidence.items import CASE
from tests.activities.evidence.sealed import SealedCase
from tests.activities.evidence.tsa import StampingAuthority, serving
from tests.api.temporal import FakeTemporal
from tests.api.test_cli import asked, run
from tests.api.test_custody import case

__all__ = ["asked", "case", "run"]
Run = Callable[..., Result]
PENDING_EXIT = 3


@pytest.fixture
def authority() -> Iterator[StampingAuthority]:
    with serving(StampingAuthority()) as running:
        yield running


@pytest.fixture
def stamped(
    case: SealedCase,
    authority: StampingAuthority,
    temporal: FakeTemporal,
    dependencies: ApiDependencies,
    application: FastAPI,
) -> SealedCase:
    """The case with a time-stamping authority, which the API knows the root of."""
    key, asked = case.signer.key, TimestampAuthority(authority.url, [authority.root])
    sealing = Sealing(case.registry, case.ledger.custody, case.vault, lambda: case.signer, asked)
    temporal.answers["SealCaseWorkflow"] = sealing.seal_case
    trust = Trust(keys={key.keyid: key}, roots=(authority.root,))
    application.state.dependencies = replace(dependencies, seal_trust=lambda: trust)
    return replace(case, sealing=sealing, roots=(authority.root,))


@pytest.fixture
def early(asked: Run, stamped: SealedCase, tmp_path: Path) -> Path:
    done = asked("evidence", "export", CASE, "--output", str(tmp_path / "out"), "--purpose", "court order 7")
    assert done.exit_code == 0, done.output
    assert "exported with a pending timestamp, that of seal 1" in done.stderr
    assert f"firebreak evidence timestamp {CASE} 1 --output seal-1.tsr" in done.stderr
    return tmp_path / "out" / "firebreak-inc-1-000001"


@pytest.fixture
def demand(run: Run, early: Path, stamped: SealedCase, authority: StampingAuthority, tmp_path: Path) -> Run:
    """Verifies the early bag and demands its timestamp."""
    (tmp_path / "roots.pem").write_bytes(authority.root.public_bytes(Encoding.PEM))
    command = ("evidence", "verify", str(early), "--fingerprint", stamped.signer.key.keyid, "--tsa-root", "roots.pem")
    return lambda *more: run(*command, *more)


def test_a_pending_timestamp_has_words_and_an_exit_code_of_its_own(demand: Run) -> None:
    done = demand()
    assert done.exit_code == PENDING_EXIT
    assert "timestamp: pending" in done.stderr
    assert "All that is there holds; missing is the timestamp of seal 1." in done.stderr
    told = demand("--json")
    verdict = json.loads(told.stdout)
    assert (told.exit_code, verdict["ok"], verdict["reason"], verdict["timestamp"]) == (
        PENDING_EXIT,
        False,
        "timestamp-pending",
        "pending",
    )


def test_who_can_do_without_it_says_so(demand: Run) -> None:
    done = demand("--pending-ok")
    assert done.exit_code == 0
    assert "Mind: seals/000001: timestamp: pending" in done.stderr


def test_the_timestamp_is_fetched_when_it_came_and_given_to_verify(
    demand: Run, asked: Run, stamped: SealedCase, tmp_path: Path
) -> None:
    fetch = ("evidence", "timestamp", CASE, "1", "--output", "seal-1.tsr")
    early = asked(*fetch)
    assert early.exit_code == 1
    assert "Seal 1 of case inc-1 has no timestamp yet." in early.stderr
    stamped.stamp(1)
    assert asked(*fetch).exit_code == 0
    done = demand("--timestamp", "seal-1.tsr", "--json")
    verdict = json.loads(done.stdout)
    assert (done.exit_code, verdict["ok"], verdict["timestamp"]) == (0, True, "held")
    again = asked(*fetch)
    assert (again.exit_code, "seal-1.tsr was not written" in again.stderr) == (1, True)
    assert asked("evidence", "timestamp", CASE, "2", "--output", "seal-2.tsr").exit_code == 1


def test_what_is_wrong_ends_with_another_code_than_what_is_pending(demand: Run, early: Path) -> None:
    path = early / "data" / "artefacts" / "web-1.sockets@sockets.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")
    done = demand()
    assert (done.exit_code, "expected 700 bytes, found 701" in done.stderr) == (1, True)


def test_exporting_again_brings_the_timestamp_along(
    run: Run, asked: Run, early: Path, stamped: SealedCase, temporal: FakeTemporal, tmp_path: Path
) -> None:
    stamped.stamp(1)

    def seal_and_stamp(request: object) -> object:
        ref = stamped.sealing.seal_case(request)  # type: ignore[arg-type]
        return stamped.stamp(ref.number)

    temporal.answers["SealCaseWorkflow"] = seal_and_stamp
    done = asked("evidence", "export", CASE, "--output", str(tmp_path / "out"), "--purpose", "court order 7", "--json")
    assert done.exit_code == 0, done.output
    assert "pending" not in done.stderr
    verdict = json.loads(done.stdout)["verdict"]
    assert (verdict["timestamp"], [seal["timestamp"] for seal in verdict["seals"]]) == ("held", ["held", "held"])
