"""A bucket with Object Lock on a server of its own, and vaults in it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.opening import VaultPlace, open_vault
from activities.evidence.vault.s3 import S3Vault
from lab.aws_server import AwsServer
from tests.activities.evidence.vault.slow_vault import SlowVault

BUCKET = "firebreak-evidence"
_numbers = itertools.count(1)
MakeVault = Callable[..., S3Vault]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "tests", "SECRET_ACCESS_KEY": "tests", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    """The server: moto with its gaps shimmed."""
    with AwsServer(log=tmp_path_factory.mktemp("aws") / "server.log") as server:
        where = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        s3 = boto3.client("s3", endpoint_url=server.url, **where)
        s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        s3.create_bucket(Bucket=f"{BUCKET}-unlocked")
        s3.close()
        yield server


@pytest.fixture
def s3(aws: AwsServer, credentials: None) -> Any:
    """The bucket's owner's client: it may do what the vault never does."""
    return boto3.client("s3", endpoint_url=aws.url)


@pytest.fixture
def prefix() -> str:
    """Where no other test has anything."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def place(aws: AwsServer, tmp_path: Path, prefix: str) -> VaultPlace:
    return VaultPlace(directory=tmp_path / "scratch", bucket=BUCKET, prefix=prefix, endpoint_url=aws.url)


@pytest.fixture
def make_vault(place: VaultPlace, credentials: None) -> MakeVault:
    """Another process' vault on the same bucket."""

    def make(**changed: Any) -> S3Vault:
        vault = open_vault(place.model_copy(update=changed))
        assert isinstance(vault, S3Vault)
        return vault

    return make


@pytest.fixture
def bucket_vault(make_vault: MakeVault) -> S3Vault:
    return make_vault()


@pytest.fixture
def slow(tmp_path: Path) -> SlowVault:
    return SlowVault(tmp_path / "vault")


@pytest.fixture
def incoming(slow: SlowVault) -> Iterator[Incoming]:
    opened = Incoming(slow.root / "spool", slow)
    yield opened
    slow.go.set()
    opened.close()
