"""What the files beside a case's chains are called: envelopes and timestamps, and the public keys that belong to them.

Owns the spelling and its reading back. A name tells the number and the custody head that a seal covers, so that the
same heads never get a second seal.

    envelope_name(1, head)   # -> "000001@9f86d081884c7d65.dsse.json"
"""

import re
from collections.abc import Sequence

from pydantic import Field

from activities.evidence.vault.layout import SEPARATOR
from segmentation.workloads import Frozen

_HEAD_DIGITS = 16
_SEAL = re.compile(r"^(\d{6})@([0-9a-f]{16})\.(dsse\.json|tsr)$")


class SealFiles(Frozen):
    """What the folder `seals` holds, by number."""

    envelopes: dict[int, str]
    timestamps: dict[int, str]
    strangers: tuple[str, ...] = Field(description="Names that nothing of ours has.")


def envelope_name(number: int, custody_head: str) -> str:
    """Of the envelope of a seal."""
    return f"{number:06d}{SEPARATOR}{custody_head[:_HEAD_DIGITS]}.dsse.json"


def timestamp_name(number: int, custody_head: str) -> str:
    """Of the time-stamping authority's answer about an envelope."""
    return f"{number:06d}{SEPARATOR}{custody_head[:_HEAD_DIGITS]}.tsr"


def key_name(keyid: str) -> str:
    """Of the public key that seals were made with, in the folder `keys`."""
    return f"{keyid}.pem"


def seal_event_id(number: int) -> str:
    """The custody event with which a seal begins."""
    return f"seal-{number:06d}"


def timestamp_event_id(number: int) -> str:
    """The custody event that tells which timestamp a seal got."""
    return f"seal-{number:06d}.timestamp"


def sort_out(names: Sequence[str]) -> SealFiles:
    """Which file is what. Two of one number are both there, one of them as a stranger."""
    envelopes: dict[int, str] = {}
    timestamps: dict[int, str] = {}
    strangers: list[str] = []
    for name in names:
        if (seal := _SEAL.fullmatch(name)) and int(seal[1]) not in _of(seal[3], envelopes, timestamps):
            _of(seal[3], envelopes, timestamps)[int(seal[1])] = name
        else:
            strangers.append(name)
    return SealFiles(envelopes=envelopes, timestamps=timestamps, strangers=tuple(strangers))


def _of(suffix: str, envelopes: dict[int, str], timestamps: dict[int, str]) -> dict[int, str]:
    return timestamps if suffix == "tsr" else envelopes
