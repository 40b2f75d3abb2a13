"""What a verifier relies on: public keys of seals, and roots of time-stamping authorities.

Owns the difference between what was brought and what came with the case. A key that lies beside the seals that it is
to prove proves nothing by itself: whoever can write both can sign anew. So its fingerprint is always named.

    trust = Trust.of(key_files=[Path("ir-team.pem")], fingerprints=[], root_files=[])
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509

from activities.evidence.errors import SealBroken
from activities.evidence.sealing.keys import SealKey, read_keys


@dataclass(frozen=True)
class Trust:
    """What was brought by another way than the case."""

    keys: Mapping[str, SealKey] = field(default_factory=dict)
    fingerprints: frozenset[str] = frozenset()
    roots: tuple[x509.Certificate, ...] = ()
    timestamps: Mapping[str, bytes] = field(default_factory=dict)
    """Answers of an authority that came after the case was handed over, by where they were read from."""

    @property
    def given(self) -> bool:
        """Whether any key is known by another way; if so no other one counts."""
        return bool(self.keys or self.fingerprints)

    def knowing(self, key: SealKey) -> "Trust":
        """The same with one more key."""
        return replace(self, keys={**self.keys, key.keyid: key})

    @classmethod
    def of(
        cls,
        key_files: Iterable[Path] = (),
        fingerprints: Iterable[str] = (),
        root_files: Iterable[Path] = (),
        timestamp_files: Iterable[Path] = (),
    ) -> "Trust":
        """Read from files.

        Raises:
            SealBroken: a file does not hold what it should.
        """
        keys = [key for path in key_files for key in read_keys(_content(path), str(path))]
        roots = [root for path in root_files for root in read_roots(_content(path), str(path))]
        stamps = {str(path): _content(path) for path in timestamp_files}
        return cls({key.keyid: key for key in keys}, frozenset(map(_plain, fingerprints)), tuple(roots), stamps)


def read_roots(pem: bytes, what: str) -> list[x509.Certificate]:
    """Certificates in PEM.

    Raises:
        SealBroken: there are none.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SealBroken(f"{what}: can't be read as certificates in PEM", hint="Ask for the file again.") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SealBroken(f"{path}: can't be read: {error.strerror}", hint="Name another file.") from error


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").replace(" ", "").lower().removeprefix("sha256")
