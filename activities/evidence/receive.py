"""What proves which host uploads what: four headers, one of them a signature over what the others say.

A request carries the digest of its body or, as a part of something larger, that of everything up to the part's end: so
the last part's is the digest of the whole. Owns the bytes that are signed, by the agent that uploads
(`activities.host.upload`) and by the API that receives. Never opens a connection.

    message = upload_message("PUT", "/v1/vault/inc-1/web.ring-01?name=ring-01.pcapng", "1795338613", digest)
"""

import base64
import binascii
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from activities.evidence.errors import UploadRefused
from segmentation.workloads import Frozen, Name

HOST_HEADER = "Firebreak-Host"
TIMESTAMP_HEADER = "Firebreak-Timestamp"
SIGNATURE_HEADER = "Firebreak-Signature"
DIGEST_HEADER = "Content-Digest"
RUNNING_DIGEST_HEADER = "Firebreak-Running-Digest"
OFFSET_HEADER = "Upload-Offset"
TOLERANCE_SECONDS = 300
_DIGEST = re.compile(r"^sha-256=:([A-Za-z0-9+/]{43}=):$")


class UploadClaim(Frozen):
    """What an upload says of itself, proven to come from the host it names.

    `sha256` is of the body, or with a running digest of everything up to its end.
    """

    host_id: Name
    sha256: str


def content_digest(sha256_hex: str) -> str:
    """The `Content-Digest` field (RFC 9530) of a SHA-256."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256_hex)).decode()}:"


def upload_message(method: str, target: str, timestamp: str, digest: str) -> bytes:
    """What the signature covers; `target` is path and query as sent, `timestamp` seconds since 1970."""
    return f"{method}\n{target}\n{timestamp}\n{digest}".encode()


def check_upload(
    method: str, target: str, headers: Mapping[str, str], *, public_key: bytes | None, now: float
) -> UploadClaim:
    """The claim of an upload; `public_key` is that of the host named in the headers, if it is known.

    Raises:
        UploadRefused: unknown host, stale, without digest, or not signed by that host.
    """
    said = {name.lower(): value for name, value in headers.items()}
    timestamp = said.get(TIMESTAMP_HEADER.lower(), "")
    digest = said.get(RUNNING_DIGEST_HEADER.lower()) or said.get(DIGEST_HEADER.lower(), "")
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise UploadRefused("The upload has no sha-256 Content-Digest.", hint="RFC 9530: sha-256=:BASE64:")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise UploadRefused(f"The upload is not of the last {TOLERANCE_SECONDS} s.", hint="Set the host's clock right.")
    if not _signed(upload_message(method, target, timestamp, digest), said, public_key):
        raise UploadRefused("The upload is not signed by the host it names.", hint="Join the host again.")
    return UploadClaim(host_id=said[HOST_HEADER.lower()], sha256=base64.b64decode(found[1]).hex())


def _signed(message: bytes, said: Mapping[str, str], public_key: bytes | None) -> bool:
    if public_key is None or HOST_HEADER.lower() not in said:
        return False
    try:
        signature = base64.b64decode(said.get(SIGNATURE_HEADER.lower(), ""), validate=True)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
