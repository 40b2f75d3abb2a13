"""Public keys of seals: their fingerprints, and the one form in which they are written.

Owns reading them. The fingerprint is SHA-256 over the key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7): what
`openssl pkey -pubin -outform DER | sha256sum` says. Never sees a private key.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.signer import SSlibKey

from activities.evidence.errors import SealBroken

_PEM = re.compile(rb"-----BEGIN [^\n]*\n.*?-----END [^\n]*-----", re.DOTALL)
Public = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True)
class SealKey:
    """One public key."""

    keyid: str
    pem: bytes
    key: SSlibKey

    @property
    def algorithm(self) -> str:
        """As people call it."""
        return {"ed25519": "Ed25519", "ecdsa": "ECDSA P-256"}[self.key.keytype]


def seal_key(public: Public) -> SealKey:
    """A key by its fingerprint."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    keyid = sha256(der).hexdigest()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SealKey(keyid, pem, SSlibKey.from_crypto(public, keyid=keyid))


def read_keys(pem: bytes, what: str) -> list[SealKey]:
    """All keys of a file that is called `what`, one after the other; what stands between them is no key.

    Raises:
        SealBroken: there is none, or one of them is none.
    """
    blocks = [block + b"\n" for block in _PEM.findall(pem.replace(b"\r\n", b"\n"))]
    return [read_key(block, what) for block in blocks or [pem]]


def read_key(pem: bytes, what: str) -> SealKey:
    """A key from a file that is called `what`.

    Raises:
        SealBroken: it is no Ed25519 or P-256 key in PEM, or not written as OpenSSL writes it.
    """
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SealBroken(f"{what}: can't be read as a public key in PEM", hint="Ask for the key again.") from error
    if not isinstance(public, ed25519.Ed25519PublicKey) and not (
        isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1)
    ):
        raise SealBroken(f"{what}: expected an Ed25519 or ECDSA P-256 key, found another", hint="Ask for the key.")
    found = seal_key(public)
    if found.pem != pem:
        raise SealBroken(f"{what}: is not written as the key that it holds is written", hint="Ask for the key again.")
    return found
