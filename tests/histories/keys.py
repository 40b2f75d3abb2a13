"""The keys that the committed histories are sealed and signed with: for tests only, and public with them."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.orders.codec import Seal
from activities.orders.keys import public_bytes

_KEYS = json.loads((Path(__file__).parent / "keys.json").read_text())
_HOSTS = {name: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(k)) for name, k in _KEYS["hosts"].items()}
SEAL = Seal(bytes.fromhex(_KEYS["seal"]))
CONTROL = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_KEYS["control"]))


def host_key(host_id: str) -> Ed25519PrivateKey:
    """The key of a host; `web-1a2b` has the key of `web`."""
    return _HOSTS[host_id.split("-", 1)[0]]


def public_host_key(host_id: str) -> bytes | None:
    """What the ledger would answer: the public half, or None for a host that never joined."""
    known = _HOSTS.get(host_id.split("-", 1)[0])
    return public_bytes(known.public_key()) if known else None
