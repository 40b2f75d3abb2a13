"""`firebreak serve`: the API.

Owns the assembly of the API's process. Holds no credential of a target and cannot give orders: it has the seal for
starts and decisions, and only the public half of the key that signs orders.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import ClassVar

import uvicorn
from temporalio.client import Client

from activities.ledger.ledger import Ledger
from activities.orders.codec import Seal, control_converter
from activities.orders.keys import load_or_create_secret
from api.app import create_app
from api.dependencies import LINK_KEY, Advertised, ApiDependencies
from api.processes.addresses import lifeline_of, port_of
from api.processes.dispatcher import wake, wake_path
from api.processes.sealing import open_trust
from api.settings import ServeSettings
from api.sources import Sources
from api.tokens import Tokens
from segmentation.errors import FirebreakError

PUBLIC_KEY = "control.pub"


class ControlKeyMissing(FirebreakError):
    """The API does not know the key that agents are to pin."""

    code: ClassVar[str] = "control-key-missing"


class TemporalConnection:
    """Connects when first asked, and again after a failure."""

    def __init__(self, settings: ServeSettings, ledger: Ledger) -> None:
        self._settings = settings
        seal = Seal(load_or_create_secret(settings.state_dir / "seal.secret"))
        self._converter = control_converter(seal, None, ledger.hosts.public_key)
        self._lock = asyncio.Lock()
        self._client: Client | None = None

    async def __call__(self) -> Client:
        """The client; raises what connecting raises."""
        async with self._lock:
            if self._client is None:
                self._client = await Client.connect(
                    self._settings.temporal_address,
                    namespace=self._settings.temporal_namespace,
                    data_converter=self._converter,
                )
            return self._client


async def run_serve(settings: ServeSettings) -> None:
    """Serve until cancelled or told to stop by a signal."""
    ledger = Ledger.open(settings.ledger)
    app = create_app(dependencies(settings, ledger))
    config = uvicorn.Config(
        app,
        host=settings.bind,
        port=settings.api_port,
        loop="none",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    await uvicorn.Server(config).serve()


def dependencies(settings: ServeSettings, ledger: Ledger) -> ApiDependencies:
    """What the API is given."""
    dispatcher = wake_path(settings.state_dir)
    return ApiDependencies(
        ledger=ledger,
        tokens=Tokens(settings.state_dir),
        sources=Sources(settings.state_dir),
        temporal=TemporalConnection(settings, ledger),
        vault_place=settings.vault_place,
        control_public_key=public_key(settings.state_dir),
        advertised=advertised(settings),
        link_key_file=settings.state_dir / LINK_KEY,
        seal_trust=partial(open_trust, settings),
        wake=lambda: wake(dispatcher),
    )


def advertised(settings: ServeSettings) -> Advertised:
    """Where a joining agent finds the control plane."""
    host = f"[{settings.advertise_host}]" if ":" in settings.advertise_host else settings.advertise_host
    temporal = settings.advertise_temporal_port or port_of(settings.temporal_address)
    siem = f"http://{host}:{port_of(settings.siem_url)}" if settings.siem_url else ""
    return Advertised(
        temporal_address=f"{host}:{temporal}",
        temporal_namespace=settings.temporal_namespace,
        api_url=f"http://{host}:{settings.api_port}",
        siem_url=siem,
        lifeline=lifeline_of(settings),
    )


def public_key(state_dir: Path) -> bytes:
    """The public half of the key that signs orders, as the worker or `firebreak up` left it.

    Raises:
        ControlKeyMissing: neither has run on this state directory.
    """
    path = state_dir / PUBLIC_KEY
    if not path.exists():
        raise ControlKeyMissing(f"There is no {path}.", hint="Start the worker once, or copy the file from it.")
    return path.read_bytes()
