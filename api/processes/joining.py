"""How a host joins: who it is, which control plane it obeys from then on.

Owns the agent's identity file. The control key that comes back with the first join is pinned: an agent never takes
another one by itself.

    identity = join(url, token, settings)        # once
    identity = load_identity(state_dir)          # ever after
"""

import os
import socket
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from activities.host.facts import describe_host
from activities.orders.keys import load_or_create_key, public_bytes
from api.settings import AgentSettings
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen, Workload

IDENTITY = "identity.json"
WRITE_ONE = "Write a token there (firebreak join-token create NAME), readable by its owner alone."


class JoinFailed(FirebreakError):
    """The control plane did not take this host."""

    code: ClassVar[str] = "join-failed"


class JoinUnreachable(JoinFailed):
    """Nobody answered."""

    code: ClassVar[str] = "join-unreachable"


class JoinRefused(JoinFailed):
    """It answered no: a token that expired, for example."""

    code: ClassVar[str] = "join-refused"


class JoinTokenUnreadable(JoinFailed):
    """There is no token where one was said to be."""

    code: ClassVar[str] = "join-token-unreadable"


class Identity(Frozen):
    """What an agent knows of itself and of its control plane."""

    workload: Workload
    control_public_key: str
    temporal_address: str
    temporal_namespace: str
    api_url: str
    siem_url: str = ""


def load_identity(state_dir: Path) -> Identity | None:
    """The identity of an agent that has joined before."""
    path = state_dir / IDENTITY
    if not path.exists():
        return None
    try:
        return Identity.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise JoinFailed(f"{path} is not an identity.", hint="Remove it and join again with a new token.") from error


def read_token(path: Path) -> str:
    """The join token in a file, or on standard input where the path is `-`: neither shows in a list of processes.

    Raises:
        JoinTokenUnreadable: it can't be read, or holds nothing.
    """
    try:
        token = (sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise JoinTokenUnreadable(f"No join token can be read from {path}: {error}.", hint=WRITE_ONE) from error
    if not token:
        raise JoinTokenUnreadable(f"{path} holds no join token.", hint=WRITE_ONE)
    return token


def join(url: str, token: str, settings: AgentSettings) -> Identity:
    """Join a control plane; a host that has joined it before keeps its key.

    Raises:
        JoinFailed: it is not reachable, refuses, or is another one than the one that is pinned.
    """
    key = load_or_create_key(settings.state_dir / "agent.key")
    name, control = settings.name or socket.gethostname(), urlsplit(url).hostname or ""
    workload = describe_host(settings.host_id or machine_id(), name, settings.labels, control)
    body: dict[str, Any] = {
        "workload": workload.model_dump(mode="json"),
        "public_key": b64encode(public_bytes(key.public_key())).decode(),
    }
    answer = post_join(f"{url.rstrip('/')}/v1/hosts/join", token, body)
    identity = Identity(
        workload=workload,
        control_public_key=answer["control_public_key"],
        temporal_address=answer["temporal"]["address"],
        temporal_namespace=answer["temporal"]["namespace"],
        api_url=answer["api_url"],
        siem_url=answer.get("siem_url") or "",
    )
    known = load_identity(settings.state_dir)
    if known is not None and known.control_public_key != identity.control_public_key:
        raise JoinFailed(
            f"{url} has another control key than the one this host has pinned.",
            hint=f"If the control plane was really set up anew, remove {settings.state_dir / IDENTITY} and join again.",
        )
    save_identity(settings.state_dir, identity)
    return identity


def save_identity(state_dir: Path, identity: Identity) -> None:
    """Write it atomically; a crash leaves the old one or the new one."""
    partial = state_dir / f"{IDENTITY}.partial"
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(identity.model_dump_json(indent=2))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(state_dir / IDENTITY)


def machine_id() -> str:
    """This machine's id (machine-id(5)).

    Raises:
        JoinFailed: it has none.
    """
    path = Path("/etc/machine-id")
    try:
        found = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise JoinFailed(f"{path} can't be read: {error}.", hint="Set FIREBREAK_HOST_ID.") from error
    if not found:
        raise JoinFailed(f"{path} is empty.", hint="Set FIREBREAK_HOST_ID.")
    return found


def control_key(identity: Identity) -> bytes:
    """The pinned key, as 32 raw bytes."""
    return b64decode(identity.control_public_key)


def post_join(url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the control plane answers to somebody who wants in.

    Raises:
        JoinUnreachable: nobody answers.
        JoinRefused: it says no.
    """
    try:
        answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=15)
    except httpx.HTTPError as error:
        raise JoinUnreachable(
            f"{url} could not be reached: {error}.", hint="Look at the address and at the network."
        ) from error
    if answer.is_error:
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        raise JoinRefused(
            f"{url} refused: {problem.get('title', answer.status_code)}. {_detail(problem)}",
            hint=problem.get("hint", "") or "Ask for a new token: firebreak join-token create NAME.",
        )
    document: dict[str, Any] = answer.json()
    return document


def _detail(problem: dict[str, Any]) -> str:
    """What a problem document (RFC 9457) says beyond its title."""
    fields = "; ".join(f"{e.get('pointer', '')}: {e.get('detail', '')}" for e in problem.get("errors", ()))
    return f"{problem.get('detail', '')} {fields}".strip()
