"""The one way a document becomes bytes, and bytes become a hash.

Owns canonical JSON (RFC 8785) of models and its SHA-256. Plans, orders, audit events and manifests are
all hashed here, so that what a person saw, what was signed and what was carried out can be compared.

    digest(change)   # -> "sha256:9f86d0..."
"""

import hashlib
from typing import Any

import rfc8785
from pydantic import BaseModel

from segmentation.bounds import MAX_INTEGER


def canonical(document: BaseModel | dict[str, Any] | list[Any]) -> bytes:
    """RFC 8785 canonical JSON; floats and integers beyond 2**53 are refused by the library."""
    plain = document.model_dump(mode="json", by_alias=True) if isinstance(document, BaseModel) else document
    return rfc8785.dumps(plain)


def digest(document: BaseModel | dict[str, Any] | list[Any]) -> str:
    """SHA-256 of the canonical form, as `sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()


def has_canonical_form(part: Any) -> bool:
    """Whether `canonical` takes what was read from JSON: every number of it has a canonical form."""
    if isinstance(part, dict):
        return all(map(has_canonical_form, part.values()))
    if isinstance(part, list):
        return all(map(has_canonical_form, part))
    return not isinstance(part, int | float) or abs(part) <= MAX_INTEGER
