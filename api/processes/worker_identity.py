"""Who a platform's worker is to the control plane: a principal with a key of its own, which may hand evidence over.

Owns its key and how that is made known: on the node that runs everything directly, elsewhere by a join token, as a
host's is. It is in the inventory for its key alone: no alert and no person can make it a target. Not to be known never
hinders it from containing: it goes on, and says so.
"""

import contextlib
import hashlib
from base64 import b64encode
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.orders.keys import load_or_create_key, public_bytes
from api.processes.joining import JoinRefused, JoinTokenUnreadable, JoinUnreachable, post_join, read_token
from api.processes.platform_roles import Role, roles_of
from api.settings import TargetWorkerSettings, UpSettings
from segmentation.errors import FirebreakError
from segmentation.workloads import Workload

log = structlog.get_logger(__name__)


def key_of(settings: TargetWorkerSettings, role: Role) -> Ed25519PrivateKey:
    """The worker's key, made at first use."""
    return load_or_create_key(settings.state_dir / f"worker-{role}.key")


def who_is(settings: TargetWorkerSettings, role: Role) -> Workload:
    """The worker as a principal. Its id is its key's: another key is another worker, with other evidence ids."""
    fingerprint = hashlib.sha256(_public(settings, role)).hexdigest()[:32]
    return Workload(workload_id=fingerprint, kind="worker", name=settings.worker_name or f"worker-{role}")


def admit_workers(settings: UpSettings) -> None:
    """Pin the keys of this node's own workers: they share its state directory, so no token has to prove it."""
    from activities.ledger.ledger import Ledger  # the workers themselves never load it

    if not roles_of(settings):
        return
    with contextlib.closing(Ledger.open(settings.ledger)) as ledger:
        for role in roles_of(settings):
            try:
                ledger.hosts.join(who_is(settings, role), _public(settings, role))
            except FirebreakError as error:
                log.warning(
                    "a platform's worker can't hand evidence over: it is not admitted", why=str(error), role=role
                )


def join_worker(settings: TargetWorkerSettings, role: Role, token_file: Path) -> None:
    """Join the control plane at `api_url` with a token."""
    body = {
        "workload": who_is(settings, role).model_dump(mode="json"),
        "public_key": b64encode(_public(settings, role)).decode(),
    }
    try:
        post_join(f"{settings.api_url.rstrip('/')}/v1/hosts/join", read_token(token_file), body)
    except (JoinUnreachable, JoinRefused, JoinTokenUnreadable) as error:
        log.warning("could not join, going on as joined before", reason=error.summary, hint=error.hint)


def _public(settings: TargetWorkerSettings, role: Role) -> bytes:
    return public_bytes(key_of(settings, role).public_key())
