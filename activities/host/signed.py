"""Requests that prove which host sends them.

Owns the headers and the posting of small documents. What is signed is said by `activities.evidence.receive`.

    post_signed(client, "http://10.78.0.1:8080", "/v1/hosts/web/flows", body, host_id="web", key=key)
"""

import base64
import hashlib
import time

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.evidence.receive import (
    DIGEST_HEADER,
    HOST_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    content_digest,
    upload_message,
)


def post_signed(
    client: httpx.Client, api_url: str, path: str, body: bytes, *, host_id: str, key: Ed25519PrivateKey
) -> None:
    """Post a small document as this host; raises httpx.HTTPError when it is not taken."""
    proof = {DIGEST_HEADER: content_digest(hashlib.sha256(body).hexdigest())}
    headers = signed_headers("POST", path, proof, host_id=host_id, key=key) | {"Content-Type": "application/json"}
    client.post(api_url.rstrip("/") + path, content=body, headers=headers).raise_for_status()


def signed_headers(
    method: str, target: str, proof: dict[str, str], *, host_id: str, key: Ed25519PrivateKey
) -> dict[str, str]:
    """What proves that a request is this host's: `target` is path and query as sent, `proof` its digest's header."""
    timestamp, (digest,) = str(int(time.time())), proof.values()
    signature = key.sign(upload_message(method, target, timestamp, digest))
    return proof | {
        HOST_HEADER: host_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: base64.b64encode(signature).decode("ascii"),
    }
