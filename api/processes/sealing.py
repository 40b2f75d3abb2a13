"""What seals are made and checked with, from the settings.

Owns the choice of the signer and of the time-stamping authority. The worker alone opens the signer; everybody else
reads the public keys that it leaves in the state directory, one file for each key that it ever signed with.
"""

import os
import tempfile
from pathlib import Path

from activities.evidence.sealing.keys import SealKey
from activities.evidence.sealing.names import key_name
from activities.evidence.sealing.signers import SealSigner, file_signer, kms_signer
from activities.evidence.sealing.timestamps import TimestampAuthority
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.opening import VaultPlace, aws_client
from api.settings import ControlSettings

PUBLIC_KEYS = "evidence-keys"


def open_signer(settings: ControlSettings) -> SealSigner:
    """The signer; its public key is left where the API finds it.

    Raises:
        KeyUnusable, SignerUnusable: the key can't be used as configured.
        SignerAway: KMS does not answer.
    """
    if settings.seal_kms_key:
        place = VaultPlace(
            directory=settings.vault, region=settings.seal_region, endpoint_url=settings.seal_endpoint_url
        )
        signer = kms_signer(aws_client("kms", place), settings.seal_kms_key)
    else:
        signer = file_signer(settings.seal_key)
    _leave(settings.state_dir / PUBLIC_KEYS, signer.key)
    return signer


def open_authority(settings: ControlSettings) -> TimestampAuthority | None:
    """The time-stamping authority, if one is configured."""
    return TimestampAuthority(settings.tsa_url, open_trust(settings).roots) if settings.tsa_url else None


def open_trust(settings: ControlSettings) -> Trust:
    """What seals are checked with: the keys that are configured, or all that the worker ever signed with.

    Raises:
        SealBroken: a file does not hold what it should.
    """
    roots = [settings.tsa_roots_file] if settings.tsa_roots_file else []
    left = sorted((settings.state_dir / PUBLIC_KEYS).glob("*.pem"))
    return Trust.of([settings.seal_keys_file] if settings.seal_keys_file else left, root_files=roots)


def sealing_environment(settings: ControlSettings) -> dict[str, str]:
    """These settings as the parts of a node read them."""
    files = {name: getattr(settings, name) for name in ("seal_key_file", "seal_keys_file", "tsa_roots_file")}
    others = ("seal_kms_key", "seal_region", "seal_endpoint_url", "tsa_url")
    return {name: str(path.resolve()) if path else "" for name, path in files.items()} | {
        name: getattr(settings, name) for name in others
    }


def _leave(folder: Path, key: SealKey) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / key_name(key.keyid)
    if path.exists() and path.read_bytes() == key.pem:
        return
    # As a whole or not at all: a half key would make the API distrust all.
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as half:
        half.write(key.pem)
        half.flush()
        os.fsync(half.fileno())
    Path(half.name).replace(path)
