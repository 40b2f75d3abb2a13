# ruff: noqa: F811 - fixtures are asked for by the names that they are imported by
"""The evidence commands against a served API, with a real vault, ledger and signer behind it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from api.dependencies import ApiDependencies
from api.tokens import Tokens
from tests.activities.evidence.items import CASE
from tests.activities.evidence.sealed import SealedCase
from tests.api.test_cli import asked, run  # noqa: F401 - fixtures
from tests.api.test_custody import case  # noqa: F401 - a fixture

Run = Callable[..., Result]
ITEM = "web-1.sockets"


@pytest.fixture
def exported(asked: Run, case: SealedCase, tmp_path: Path) -> Path:
    done = asked("evidence", "export", CASE, "--output", str(tmp_path / "out"), "--purpose", "court order 7")
    assert done.exit_code == 0, done.output
    assert case.signer.key.keyid in done.stderr
    (bag,) = (tmp_path / "out").iterdir()
    return bag


def test_an_exported_bag_is_checked_by_the_fingerprint_that_was_told(
    run: Run,
    exported: Path,
    case: SealedCase,
) -> None:
    good = run("evidence", "verify", str(exported), "--fingerprint", case.signer.key.keyid)
    assert good.exit_code == 0, good.output
    assert "2 of 2 items hold" in good.stderr
    assert "Mind:" not in good.stderr
    other = run("evidence", "verify", str(exported), "--fingerprint", "00" * 32)
    assert other.exit_code == 1
    assert "none of those that you gave" in other.stderr


def test_a_key_from_the_bag_is_used_with_its_fingerprint_named(run: Run, exported: Path) -> None:
    done = run("evidence", "verify", str(exported))
    assert done.exit_code == 0
    assert "Mind: Seals were checked with a key that came with them" in done.stderr


def test_a_key_file_that_was_brought_is_used(
    run: Run,
    exported: Path,
    case: SealedCase,
    tmp_path: Path,
) -> None:
    (tmp_path / "team.pem").write_bytes(case.signer.key.pem)
    done = run("evidence", "verify", str(exported), "--key", str(tmp_path / "team.pem"), "--json")
    assert done.exit_code == 0
    verdict = json.loads(done.stdout)
    assert (verdict["ok"], verdict["warnings"], verdict["seals"][0]["keyid"]) == (True, [], case.signer.key.keyid)


def test_what_is_wrong_with_a_bag_is_named(run: Run, exported: Path) -> None:
    path = exported / "data" / "artefacts" / f"{ITEM}@sockets.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"x")
    done = run("evidence", "verify", str(exported))
    assert done.exit_code == 1
    assert f"{ITEM}: expected 700 bytes, found 701" in done.stderr


def test_an_export_that_breaks_off_is_no_bag(asked: Run, case: SealedCase, tmp_path: Path) -> None:
    path = case.vault.case(CASE).path(ITEM)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"s", b"S", 1))
    done = asked("evidence", "export", CASE, "--output", str(tmp_path / "out"), "--purpose", "court order 7")
    assert done.exit_code == 1
    assert "broken off" in done.stderr
    assert all(folder.name.endswith(".partial") for folder in (tmp_path / "out").iterdir())


def test_an_item_is_shown_with_where_it_came_from_and_what_happened_to_it(
    asked: Run,
    case: SealedCase,
) -> None:
    asked("evidence", "hold", CASE, ITEM, "--purpose", "court order 7")
    shown = asked("evidence", "show", CASE, ITEM)
    assert shown.exit_code == 0, shown.output
    for expected in ("700", "agent:web", "isolated", "AMBER+STRICT", "365 days", "user:root", "court order 7", "hold"):
        assert expected in shown.stdout, expected
    assert asked("evidence", "show", CASE, "web-1.nothing").exit_code == 1
    told = json.loads(asked("evidence", "show", CASE, ITEM, "--json").stdout)
    assert told["manifest"]["item"]["evidence_id"] == ITEM


def test_seal_hold_and_release_say_what_they_did(
    asked: Run,
    run: Run,
    served: str,
    case: SealedCase,
    dependencies: ApiDependencies,
    tmp_path: Path,
) -> None:
    sealed = asked("evidence", "seal", CASE, "--purpose", "end of shift")
    assert "Seal 1 covers 2 items and 5 custody events." in sealed.stderr
    held = asked("evidence", "hold", CASE, "--purpose", "court order 7")
    assert "On hold: the case (by user:root)." in held.stderr
    mine = asked("evidence", "release", CASE, "--purpose", "done")
    assert (mine.exit_code, "set this hold and can't lift it" in mine.stderr) == (1, True)
    token = Tokens(tmp_path).create("ben", ("approver",)).token
    let_go = run("evidence", "release", CASE, "--purpose", "done", FIREBREAK_URL=served, FIREBREAK_TOKEN=token)
    assert "On hold: nothing." in let_go.stderr
