"""What the API is given: everything it talks to, made by whoever starts it.

Owns the shape of the hand-over and how a request reaches it. No route makes a client or opens a file by
itself.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client

from activities.evidence.preview.cache import PreviewCache
from activities.evidence.register import EvidenceRegistry
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.incoming import MAX_BYTES, Incoming
from activities.evidence.vault.interface import Vault
from activities.evidence.vault.opening import VaultPlace, open_vault
from activities.ledger.ledger import Ledger
from activities.orders.keys import load_or_create_secret
from api.rates import RateCap
from api.refusing import RefusalMeter
from api.sources import Sources
from api.tokens import Tokens
from playbooks.host_isolation import LifelineEndpoint

LINK_KEY = "evidence-links.secret"
TemporalProvider = Callable[[], Awaitable[Client]]


@dataclass(frozen=True)
class Advertised:
    """Where a joining agent finds the control plane, as seen from the agent."""

    temporal_address: str
    temporal_namespace: str
    api_url: str
    siem_url: str = ""
    lifeline: tuple[LifelineEndpoint, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Caps on what a request may carry; sizes in bytes."""

    alert_bytes: int = 256 * 1024
    json_depth: int = 32
    request_bytes: int = 64 * 1024
    evidence_bytes: int = MAX_BYTES
    # Items up to this are hashed before their first byte leaves, larger ones while they leave.
    hash_first_bytes: int = 16 * 1024**2
    update_seconds: float = 20.0


def _nobody_to_wake() -> None:
    """Where no dispatcher listens; it finds committed alerts when it looks."""


@dataclass(frozen=True)
class ApiDependencies:
    """Everything that the application talks to.

    `temporal` connects or raises; `wake` tells the dispatcher of a commit and must neither block nor raise.
    """

    ledger: Ledger
    tokens: Tokens
    sources: Sources
    temporal: TemporalProvider
    vault_place: VaultPlace
    control_public_key: bytes
    advertised: Advertised
    link_key_file: Path | None = None
    seal_trust: Callable[[], Trust] = Trust
    wake: Callable[[], None] = _nobody_to_wake
    limits: Limits = field(default_factory=Limits)
    rates: RateCap = field(default_factory=RateCap)

    @property
    def vault_dir(self) -> Path:
        """The vault's directory; with a bucket, where things wait on their way there."""
        return self.vault_place.directory

    @cached_property
    def intake_threads(self) -> ThreadPoolExecutor:
        """Threads that only commit alerts: no long read or upload ever stands before an alert."""
        return ThreadPoolExecutor(2, thread_name_prefix="intake")

    @cached_property
    def upload_threads(self) -> ThreadPoolExecutor:
        """Threads that are held for as long as an upload takes."""
        return ThreadPoolExecutor(16, thread_name_prefix="upload")

    @cached_property
    def preview_threads(self) -> ThreadPoolExecutor:
        """Threads that wait for previews."""
        return ThreadPoolExecutor(4, thread_name_prefix="preview")

    @cached_property
    def verify_threads(self) -> ThreadPoolExecutor:
        """Threads that read whole cases: few, as each is held for as long as that takes."""
        return ThreadPoolExecutor(2, thread_name_prefix="verify")

    @cached_property
    def link_key(self) -> bytes:
        """What links to evidence are signed with; made at first use, mode 0600."""
        return load_or_create_secret(self.link_key_file or self.vault_dir.parent / LINK_KEY)

    @cached_property
    def previews(self) -> PreviewCache:
        """Previews that were made, by what they are of."""
        return PreviewCache()

    @cached_property
    def meter(self) -> RefusalMeter:
        """The counter of refusals."""
        return RefusalMeter(self.ledger.refusals)

    @cached_property
    def vault(self) -> Vault:
        """Where evidence is kept."""
        return open_vault(self.vault_place)

    @cached_property
    def incoming(self) -> Incoming:
        """Uploads that are not in the vault yet, on this machine's disk whichever vault it is."""
        folder = self.vault_place.directory / "spool"
        return Incoming(folder, self.vault, max_bytes=self.limits.evidence_bytes)

    @cached_property
    def evidence(self) -> EvidenceRegistry:
        """The chains of evidence, in ledger and vault."""
        return EvidenceRegistry(self.ledger.custody, self.vault, self.seal_trust)


async def dependencies(request: Request) -> ApiDependencies:
    """What the application of this request was given."""
    given: ApiDependencies = request.app.state.dependencies
    return given


Given = Annotated[ApiDependencies, Depends(dependencies)]
