"""What seals are made and checked with, from the settings."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from activities.evidence.errors import SealBroken
from api.processes.sealing import open_authority, open_signer, open_trust
from api.settings import SettingsInvalid, WorkerSettings, load
from tests.activities.evidence.tsa import StampingAuthority


def settings(tmp_path: Path, **given: Any) -> WorkerSettings:
    return load(WorkerSettings, state_dir=tmp_path / "state", **given)


def test_the_worker_leaves_its_public_key_where_the_api_finds_it(tmp_path: Path) -> None:
    assert not open_trust(settings(tmp_path)).given
    signer = open_signer(settings(tmp_path))
    assert list(open_trust(settings(tmp_path)).keys) == [signer.key.keyid]
    assert (tmp_path / "state" / "evidence-signing.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_changed_leaves_the_old_one_trusted(tmp_path: Path) -> None:
    first = open_signer(settings(tmp_path))
    second = open_signer(settings(tmp_path, seal_key_file=tmp_path / "other.key"))
    assert set(open_trust(settings(tmp_path)).keys) == {first.key.keyid, second.key.keyid}


def test_an_authority_comes_with_its_roots_or_not_at_all(tmp_path: Path) -> None:
    assert open_authority(settings(tmp_path)) is None
    with pytest.raises(SettingsInvalid, match="tsa_roots_file"):
        settings(tmp_path, tsa_url="http://127.0.0.1:9/tsr")
    roots = tmp_path / "roots.pem"
    given = settings(tmp_path, tsa_url="http://127.0.0.1:9/tsr", tsa_roots_file=roots)
    with pytest.raises(SealBroken, match=r"roots\.pem: can't be read"):
        open_authority(given)
    roots.write_bytes(StampingAuthority().root.public_bytes(Encoding.PEM))
    authority = open_authority(given)
    assert authority is not None
    assert len(authority.roots) == 1
