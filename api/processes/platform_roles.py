"""The workers of platforms that a node runs beside its own: which, with what settings, and when they are ready.

Owns that each gets its platform's credentials and nothing of the ledger's or the SIEM's.
"""

import asyncio
import json
from pathlib import Path
from typing import Literal

from api.settings import UpSettings

Role = Literal["aws", "kubernetes"]


def roles_of(settings: UpSettings) -> tuple[Role, ...]:
    """The platforms that this node has credentials for."""
    chosen: tuple[tuple[Role, bool], ...] = (
        ("kubernetes", bool(settings.clusters)),
        ("aws", settings.aws_external_id is not None),
    )
    return tuple(role for role, is_wanted in chosen if is_wanted)


def role_environment(settings: UpSettings, temporal_address: str, api_url: str) -> dict[str, str]:
    """The settings of a platform's worker, as the variables that it reads."""
    chosen = {
        "state_dir": str(settings.state_dir.resolve()),
        "temporal_address": temporal_address,
        "temporal_namespace": settings.temporal_namespace,
        "log_format": "json",
        "log_level": settings.log_level,
        "clusters": json.dumps(settings.clusters),
        "aws_endpoint_url": settings.aws_endpoint_url,
        "aws_role": settings.aws_role,
        "aws_forensic_kms_key": settings.aws_forensic_kms_key,
        "aws_forensic_account": settings.aws_forensic_account,
        "api_url": api_url,
        "worker_name": settings.worker_name,
        "aws_external_id": settings.aws_external_id.get_secret_value() if settings.aws_external_id else "",
    }
    return {f"FIREBREAK_{key.upper()}": value for key, value in chosen.items()}


def ready_mark(state_dir: Path, role: Role) -> Path:
    """The file that says that a platform's worker takes orders."""
    return state_dir / f"worker-{role}.ready"


async def marked_ready(mark: Path, seconds: float = 60) -> None:
    """Wait until a worker has written its mark."""
    async with asyncio.timeout(seconds):
        while not mark.exists():  # noqa: ASYNC110, ASYNC240 - written by another process, on a local disk
            await asyncio.sleep(0.05)
