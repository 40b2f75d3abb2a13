"""The API in a process of its own, as `firebreak serve` runs it, with an incident and a host that may bring evidence.

Started by the tests of uploads, which kill it: nothing here survives but what is on the disk.

    python -m tests.api.upload_server FOLDER PORT PUBLIC_KEY_HEX VAULT_PLACE_JSON
"""

import sys
from collections.abc import Awaitable
from pathlib import Path

import uvicorn
import uvloop
from temporalio.client import Client

from activities.evidence.vault.layout import host_prefix
from activities.evidence.vault.opening import VaultPlace
from activities.ledger.ledger import Ledger
from api.app import create_app
from api.dependencies import Advertised, ApiDependencies
from api.sources import Sources
from api.tokens import Tokens
from tests.activities.ledger.making import record, workload

INCIDENT, HOST_ID = "inc-1", "id-web"
ITEM = f"{host_prefix('web', HOST_ID)}packets-1"


async def no_temporal() -> Client:
    raise ConnectionError("no Temporal here")


def given(folder: Path, public_key: bytes, place: VaultPlace) -> ApiDependencies:
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    ledger.hosts.join(workload(), public_key)
    if ledger.incidents.incident(INCIDENT) is None:
        ledger.incidents.record(record(INCIDENT, 1, "isolated"))
    return ApiDependencies(
        ledger=ledger,
        tokens=Tokens(folder),
        sources=Sources(folder),
        temporal=no_temporal,
        vault_place=place,
        control_public_key=bytes(32),
        advertised=Advertised(temporal_address="", temporal_namespace="", api_url=""),
    )


async def serve(folder: Path, port: int, public_key: bytes, place: VaultPlace) -> None:
    app = create_app(given(folder, public_key, place))
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, loop="none", http="httptools", access_log=False, log_config=None
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    folder, port, key, place = sys.argv[1:]
    served: Awaitable[None] = serve(Path(folder), int(port), bytes.fromhex(key), VaultPlace.model_validate_json(place))
    uvloop.run(served)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
