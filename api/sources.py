"""Webhook sources: who may send alerts, and how each proves itself.

Owns their secrets (mode 0600: a signature is checked with the secret itself, so it can't be hashed) and
limits. A source that can't sign sends a bearer token, of which only the hash is kept.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode
from pathlib import Path

from pydantic import Field, SecretStr, field_serializer

from api.errors import Conflict, NotFound
from api.state_file import StateFile
from segmentation.workloads import Frozen, Name


class Source(Frozen):
    """A configured source."""

    name: Name
    secrets: tuple[SecretStr, ...] = Field(
        default=(),
        description="Standard Webhooks secrets; several while one replaces another. None: it can't sign.",
    )
    bearer_sha256: str = Field(default="", description="Hash of the bearer token of a source that can't sign.")
    rate_per_second: float = Field(default=500.0, gt=0, description="Alerts a second that are taken for long.")
    burst: int = Field(default=5000, ge=1, description="Alerts that are taken at once after a pause.")

    @property
    def signed(self) -> bool:
        """Whether it proves itself by signature."""
        return bool(self.secrets)

    @field_serializer("secrets", when_used="json")
    def _reveal(self, kept: tuple[SecretStr, ...]) -> list[str]:
        return [secret.get_secret_value() for secret in kept]

    def accepts_bearer(self, token: str) -> bool:
        """Whether this is the source's bearer token."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), self.bearer_sha256)


class SourceDocument(Frozen):
    """The file."""

    sources: tuple[Source, ...] = ()


class MadeSource(Frozen):
    """A new source; `secret` is shown this once."""

    name: str
    signed: bool
    secret: str


class Sources:
    """The source file of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "sources.json", SourceDocument)

    def find(self, name: str) -> Source | None:
        """The source of that name."""
        return next((source for source in self.entries() if source.name == name), None)

    def entries(self) -> tuple[Source, ...]:
        """Every source."""
        return self._file.read().sources

    def add(self, name: str, *, signed: bool = True, secret: str | None = None) -> MadeSource:
        """Configure a source; without `secret` one is made.

        Raises:
            Conflict: there is one of that name.
        """
        shown = secret or (_new_secret() if signed else secrets.token_urlsafe(32))
        proof = {"secrets": (shown,)} if signed else {"bearer_sha256": hashlib.sha256(shown.encode()).hexdigest()}
        source = Source.model_validate({"name": name} | proof)

        def insert(document: SourceDocument) -> SourceDocument:
            if any(known.name == name for known in document.sources):
                raise Conflict(f"There is a source {name} already.", hint="Rotate its secret, or take another name.")
            return SourceDocument(sources=(*document.sources, source))

        self._file.change(insert)
        return MadeSource(name=name, signed=signed, secret=shown)

    def rotate(self, name: str) -> MadeSource:
        """Give a signing source a second secret; the sender changes over, the next rotation drops the first.

        Raises:
            NotFound: no such source, or it does not sign.
        """
        shown = _new_secret()

        def renew(source: Source) -> Source:
            return source.model_copy(update={"secrets": (SecretStr(shown), *source.secrets[:1])})

        def replace(document: SourceDocument) -> SourceDocument:
            if not any(known.name == name and known.signed for known in document.sources):
                raise NotFound(f"There is no signing source {name}.", hint="List them: firebreak source list.")
            return SourceDocument(sources=tuple(renew(s) if s.name == name else s for s in document.sources))

        self._file.change(replace)
        return MadeSource(name=name, signed=True, secret=shown)


def _new_secret() -> str:
    # Standard Webhooks 1.0: 24 to 64 random bytes in base64 behind `whsec_`.
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()
