"""Settings of the evidence vault: which one it is, and what it is encrypted with.

Owns their names and the place that they make. No secret has a default.

    settings.place_of(Path("var/firebreak/vault"))      # -> VaultPlace
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from activities.evidence.vault.opening import VaultPlace


class VaultSettings(BaseSettings):
    """What API and worker share about the vault."""

    vault_bucket: str = Field(default="", description="S3 bucket with Object Lock for evidence; empty: the directory.")
    vault_prefix: str = Field(default="", description="Before every key in the bucket.")
    vault_region: str = Field(default="", description="AWS region of bucket and key; empty: as boto3 finds it.")
    vault_endpoint_url: str = Field(default="", description="Another S3 and KMS than AWS's; empty: AWS's.")
    vault_lock_days: int = Field(
        default=30,
        ge=0,
        description="GOVERNANCE lock of all that comes into the bucket; playbooks and seals extend it.",
    )
    vault_key_file: Path | None = Field(
        default=None,
        description="32 bytes, mode 0600; evidence is encrypted with it before it is kept. Lost: all lost.",
    )
    vault_kms_key: str = Field(default="", description="The same with a key of AWS KMS: its id, ARN or alias.")
    seal_key_file: Path | None = Field(
        default=None, description="Ed25519 key that signs seals, made at first use; default: in the state directory."
    )
    seal_kms_key: str = Field(
        default="", description="A P-256 key of AWS KMS that signs seals instead: id, ARN, alias."
    )
    seal_region: str = Field(default="", description="AWS region of that key; empty: as boto3 finds it.")
    seal_endpoint_url: str = Field(default="", description="Another KMS than AWS's; empty: AWS's.")
    seal_keys_file: Path | None = Field(
        default=None, description="Public keys (PEM) that seals may have; default: the worker's own, as it leaves them."
    )
    tsa_url: str = Field(default="", description="Time-stamping authority (RFC 3161) over HTTP; empty: none.")
    tsa_roots_file: Path | None = Field(default=None, description="Root certificates (PEM) of that authority.")

    def place_of(self, directory: Path) -> VaultPlace:
        """Where evidence is kept; with a bucket, `directory` is where things wait on their way there."""
        return VaultPlace(
            directory=directory,
            bucket=self.vault_bucket,
            prefix=self.vault_prefix,
            region=self.vault_region,
            endpoint_url=self.vault_endpoint_url,
            lock_days=self.vault_lock_days,
            key_file=self.vault_key_file,
            kms_key=self.vault_kms_key,
        )

    @model_validator(mode="after")
    def _one_vault_key(self) -> Self:
        if self.vault_key_file is not None and self.vault_kms_key:
            raise ValueError("vault_key_file and vault_kms_key are both set: evidence is encrypted with one of them")
        return self
