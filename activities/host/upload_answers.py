"""What the vault's door answers to a part of an upload.

Owns reading it: whatever listens there may be no vault at all. Never decides what is done about it.
"""

import httpx

from activities.evidence.receive import OFFSET_HEADER
from activities.host.upload_errors import UploadFailed

MAX_PAUSE_SECONDS = 5.0


def offset_of(answer: httpx.Response, size: int) -> int:
    """Where to go on; raises UploadFailed where that can't be."""
    said = answer.headers.get(OFFSET_HEADER, "")
    if not said.isdecimal() or int(said) > size:
        raise UploadFailed(
            f"The vault says it has {said[:40]!r} of {size} bytes.", hint="Is it a vault of Firebreak's?"
        )
    return int(said)


def retry_after(answer: httpx.Response) -> float:
    """How many seconds to leave it alone."""
    said = answer.headers.get("Retry-After", "")
    return min(float(said), MAX_PAUSE_SECONDS) if said.isdecimal() else 0.0


def code_of(answer: httpx.Response) -> str:
    """The code of a problem document; empty, if it is none."""
    try:
        return str(answer.json().get("code", ""))
    except (ValueError, AttributeError):
        return ""


def said_by(answer: httpx.Response) -> str:
    """Its words, as far as a person reads them."""
    return answer.text[:300]
