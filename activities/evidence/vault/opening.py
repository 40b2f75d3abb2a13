"""Opening the vault that the settings name.

Owns the choice: a directory or a bucket, encrypted or not. Nothing else knows which vault it talks to.

    vault = open_vault(VaultPlace(directory=Path("var/firebreak/vault")))
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from activities.evidence.side_by_side import WIDTH
from activities.evidence.vault.interface import Vault
from activities.evidence.vault.keys import FileKeys, Keys
from activities.evidence.vault.local import LocalVault
from segmentation.workloads import Frozen

if TYPE_CHECKING:
    from activities.evidence.vault.bucket import Bucket


class VaultPlace(Frozen):
    """Where evidence is kept, and with which key."""

    directory: Path = Field(description="The vault, or with a bucket: what is on its way there.")
    bucket: str = Field(default="", description="S3 bucket with Object Lock; empty: the directory is the vault.")
    prefix: str = Field(default="", description="Before every key in the bucket.")
    region: str = ""
    endpoint_url: str = Field(default="", description="Another S3 and KMS than AWS's; empty: AWS's.")
    lock_days: int = Field(default=30, ge=0, description="Lock of everything that is written to the bucket.")
    key_file: Path | None = Field(default=None, description="32 bytes, mode 0600: artefacts are encrypted with it.")
    kms_key: str = Field(default="", description="Key id, ARN or alias of AWS KMS: artefacts are encrypted with it.")


def open_vault(place: VaultPlace) -> Vault:
    """The vault, ready for use.

    Raises:
        VaultKeyRefused: the key can't be used.
    """
    keys = open_keys(place)
    if not place.bucket:
        return LocalVault(place.directory, keys)
    from activities.evidence.vault.s3 import S3Vault

    return S3Vault(_bucket(place), place.directory, keys, retention=timedelta(days=place.lock_days))


def examine_vault(place: VaultPlace) -> str:
    """What the vault is, in words, after a look that changes nothing.

    Raises:
        VaultKeyRefused: the key can't be used.
        VaultDenied: the bucket has no Object Lock, or may not be asked.
        VaultUnavailable: it does not answer.
    """
    keys = open_keys(place)
    encrypted = f"encrypted with {keys.key_id}" if keys else "not encrypted"
    if not place.bucket:
        return f"{place.directory}, {encrypted}; a directory can't enforce retention"
    bucket = _bucket(place)
    bucket.check_lock()
    return f"{bucket.uri()} with Object Lock, {encrypted}"


def open_keys(place: VaultPlace) -> Keys | None:
    """What artefacts are encrypted with; None: they are kept as collected."""
    if place.key_file is not None:
        return FileKeys.read(place.key_file)
    if place.kms_key:
        from activities.evidence.vault.kms import KmsKeys

        return KmsKeys(aws_client("kms", place), place.kms_key)
    return None


def _bucket(place: VaultPlace) -> "Bucket":
    from activities.evidence.vault.bucket import Bucket

    return Bucket(aws_client("s3", place), place.bucket, place.prefix)


def aws_client(service: str, place: VaultPlace) -> Any:
    """A client of AWS, or of what stands in for it."""
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 3}
    patience = Config(connect_timeout=5, read_timeout=60, retries=retries, max_pool_connections=WIDTH)
    where = {"region_name": place.region or None, "endpoint_url": place.endpoint_url or None}
    return boto3.client(service, config=patience, **where)
