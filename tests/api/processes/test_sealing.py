"""What seals are made and checked with, from the settings."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from activities.evidence.errors import SealBroken
from api.processes.sealing import PUBLIC_KEYS, open_authority, open_signer, open_trust
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


def test_a_key_that_was_left_by_half_is_left_anew(tmp_path: Path) -> None:
    """As a crash in the middle of writing it leaves it: the API would distrust every seal."""
    signer = open_signer(settings(tmp_path))
    left = next((tmp_path / "state" / PUBLIC_KEYS).iterdir())
    left.write_bytes(signer.key.pem[:40])
    with pytest.raises(SealBroken):
        open_trust(settings(tmp_path))
    open_signer(settings(tmp_path))
    assert open_trust(settings(tmp_path)).keys.keys() == {signer.key.keyid}
    assert [path.name for path in (tmp_path / "state" / PUBLIC_KEYS).iterdir()] == [left.name]


def test_a_file_of_several_keys_is_trusted_with_all_of_them(tmp_path: Path) -> None:
    first = open_signer(settings(tmp_path))
    second = open_signer(settings(tmp_path, seal_key_file=tmp_path / "other.key"))
    keys = tmp_path / "keys.pem"
    keys.write_bytes(first.key.pem + second.key.pem)
    assert set(open_trust(settings(tmp_path, seal_keys_file=keys)).keys) == {first.key.keyid, second.key.keyid}


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
