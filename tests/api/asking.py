"""Requests as sources and agents make them."""

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

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
from api.cli.signing import signed_headers
from api.dependencies import ApiDependencies
from api.examples import ALERT

_ids = count(1)


@dataclass(frozen=True)
class Asking:
    """A client that knows the secret of the source `siem`."""

    http: httpx.AsyncClient
    dependencies: ApiDependencies

    @property
    def secret(self) -> str:
        source = self.dependencies.sources.find("siem")
        assert source is not None
        return source.secrets[0].get_secret_value()

    def sign(self, body: bytes, *, webhook_id: str = "", age: timedelta = timedelta()) -> dict[str, str]:
        return signed_headers(self.secret, webhook_id or f"msg_{next(_ids)}", body, datetime.now(UTC) - age)

    async def alert(self, document: Any = None, **signing: Any) -> httpx.Response:
        body = json.dumps(ALERT if document is None else document).encode()
        return await self.post(body, self.sign(body, **signing))

    async def post(self, body: bytes, headers: dict[str, str], source: str = "siem") -> httpx.Response:
        return await self.http.post(f"/v1/alerts/{source}", content=body, headers=headers)

    def refusals(self) -> dict[tuple[str, str], int]:
        return {(c.source, c.reason): c.count for c in self.dependencies.ledger.refusals.counts()}


def agent_headers(
    key: Ed25519PrivateKey, method: str, target: str, body: bytes, *, host: str = "id-web", age: int = 0
) -> dict[str, str]:
    """What an agent signs."""
    digest = content_digest(hashlib.sha256(body).hexdigest())
    timestamp = str(int(datetime.now(UTC).timestamp()) - age)
    signature = key.sign(upload_message(method, target, timestamp, digest))
    return {
        HOST_HEADER: host,
        TIMESTAMP_HEADER: timestamp,
        DIGEST_HEADER: digest,
        SIGNATURE_HEADER: b64encode(signature).decode(),
    }
