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

from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from api.rates import RateCap
from api.refusing import RefusalMeter
from api.sources import Sources
from api.tokens import Tokens
from playbooks.host_isolation import LifelineEndpoint

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
    evidence_bytes: int = 8 * 1024**3
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
    vault_dir: Path
    control_public_key: bytes
    advertised: Advertised
    wake: Callable[[], None] = _nobody_to_wake
    limits: Limits = field(default_factory=Limits)
    rates: RateCap = field(default_factory=RateCap)

    @cached_property
    def intake_threads(self) -> ThreadPoolExecutor:
        """Threads that only commit alerts: no long read or upload ever stands before an alert."""
        return ThreadPoolExecutor(2, thread_name_prefix="intake")

    @cached_property
    def upload_threads(self) -> ThreadPoolExecutor:
        """Threads that are held for as long as an upload takes."""
        return ThreadPoolExecutor(16, thread_name_prefix="upload")

    @cached_property
    def meter(self) -> RefusalMeter:
        """The counter of refusals."""
        return RefusalMeter(self.ledger.refusals)

    @cached_property
    def vault(self) -> LocalVault:
        """Where evidence is kept."""
        return LocalVault(self.vault_dir)

    @cached_property
    def evidence(self) -> EvidenceRegistry:
        """The chains of evidence, in ledger and vault."""
        return EvidenceRegistry(self.ledger.custody, self.vault)


async def dependencies(request: Request) -> ApiDependencies:
    """What the application of this request was given."""
    given: ApiDependencies = request.app.state.dependencies
    return given


Given = Annotated[ApiDependencies, Depends(dependencies)]
