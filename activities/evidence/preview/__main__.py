"""The process that looks: `python -m activities.evidence.preview`.

Owns its own confinement, one request on the first line of its standard input, the item's bytes after it, and one
document on its standard output. Everything it needs is loaded before it gives up the right to open a file.
"""

import encodings.ascii
import encodings.idna
import encodings.unicode_escape
import os
import sys

from pydantic import TypeAdapter

from activities.evidence.preview.choosing import look
from activities.evidence.preview.confinement import confine
from activities.evidence.preview.documents import Preview, PreviewRequest, Refusal
from activities.evidence.preview.errors import PreviewUnconfined

REQUEST_BYTES = 64 << 10
UNCONFINED = 3
# Both are built when they are first needed, which is too late for what they would have to load.
LOADED = (encodings.ascii, encodings.idna, encodings.unicode_escape, TypeAdapter(Preview | Refusal))


def main() -> int:
    """Confine, read, answer."""
    try:
        confine()
    except PreviewUnconfined as error:
        _answer(Refusal(problem=error.summary, hint=error.hint))
        return UNCONFINED
    handle = sys.stdin.fileno()
    request = PreviewRequest.model_validate_json(_first_line(handle))
    _answer(look(os.fdopen(handle, "rb", buffering=1 << 20, closefd=False), request))
    return 0


def _first_line(handle: int) -> bytes:
    line = bytearray()
    while len(line) < REQUEST_BYTES and (octet := os.read(handle, 1)) not in (b"", b"\n"):
        line += octet
    return bytes(line)


def _answer(document: Preview | Refusal) -> None:
    sys.stdout.write(document.model_dump_json())
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
