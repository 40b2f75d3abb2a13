"""Tokens of links to evidence: what stands in the address, and what proves that we wrote it.

Owns signing (HMAC-SHA256, RFC 2104) and reading them back. A token says which item, for whom it was made, what for and
until when; nothing in it is believed before the signature was compared, in constant time. Whether a link was taken back
or used up is the ledger's to say.

    token = sign(key, link)       # "eyJlIjoi...Q.9tXc..."
    read(key, token)              # -> EvidenceLink, or None
"""

import base64
import hashlib
import hmac

from pydantic import ValidationError

from activities.ledger.links import EvidenceLink

MAX_TOKEN = 4_096
# The key may sign other things one day: what is signed says what it is.
_CONTEXT = b"firebreak/evidence-link/1\n"


def sign(key: bytes, link: EvidenceLink) -> str:
    """The token of a link."""
    said = _encoded(link.model_dump_json().encode())
    return f"{said}.{_signature(key, said)}"


def read(key: bytes, token: str) -> EvidenceLink | None:
    """The link that a token is of; None for anything that we did not sign."""
    said, _, signature = token.partition(".")
    proven = hmac.compare_digest(_signature(key, said).encode(), signature.encode("utf-8", "replace"))
    if not proven or len(token) > MAX_TOKEN:
        return None
    try:
        return EvidenceLink.model_validate_json(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    except (ValueError, ValidationError):
        return None


def _signature(key: bytes, said: str) -> str:
    message = _CONTEXT + said.encode("utf-8", "replace")
    return _encoded(hmac.new(key, message, hashlib.sha256).digest())


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
