"""Fetching an item to a file, in as many goes as it takes.

Owns the part that is there already (`NAME.DIGEST.partial`), going on behind it, and the check of the whole before it
gets its name. Never replaces a file.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from activities.evidence.receive import content_digest
from api.cli.client import ApiAway, ApiClient
from api.cli.evidence_checks import EvidenceBroken

TRIES = 5
PAUSE_SECONDS = 1.0
_CHUNK_BYTES = 1 << 20


def download(client: ApiClient, path: str, purpose: str, output: Path | None) -> Path:
    """The file that the item is in now, as it was collected.

    Raises:
        EvidenceBroken: it is not what was collected, or there is a file of that name.
        ApiAway: the connection broke again and again; the part that came stays for the next time.
    """
    described = client.head(path)
    size, tag = int(described["content-length"]), described["etag"]
    target = output or Path(_file_name(described) or path.rpartition("/")[2])
    if target.exists():
        raise EvidenceBroken(f"There is a file {target} already.", hint="Name another with --output.")
    partial = target.with_name(f"{target.name}.{tag.strip(chr(34))[:12]}.partial")
    _fetch(client, path, purpose, _Part(partial, size, tag))
    found = content_digest(_sha256(partial))
    if found != described["repr-digest"]:
        partial.unlink()
        raise EvidenceBroken(f"It came with {found}, announced was {described['repr-digest']}.", hint="Fetch it again.")
    _name(partial, target)
    return target


class _Part:
    """What has come so far, and how much it is of."""

    def __init__(self, path: Path, size: int, tag: str) -> None:
        self.path, self.size, self.tag = path, size, tag
        path.touch()
        if self.length > size:
            self.begin_anew()

    @property
    def length(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size

    @property
    def headers(self) -> dict[str, str]:
        """What asks for the rest."""
        return {"Range": f"bytes={self.length}-", "If-Range": self.tag} if self.length else {}

    def begin_anew(self) -> None:
        """Forget what came."""
        self.path.write_bytes(b"")


def _fetch(client: ApiClient, path: str, purpose: str, part: _Part) -> None:
    failures, begun = 0, False
    with _progress() as progress:
        shown = progress.add_task(part.path.name, total=part.size)
        while part.length < part.size or not begun:
            before = part.length
            begun = True
            try:
                _take(client, path, purpose, part, lambda: progress.update(shown, completed=part.length))
            except ApiAway as error:
                failures = 1 if part.length > before else failures + 1
                if failures >= TRIES:
                    hint = f"{part.length} of {part.size} bytes are in {part.path}; the same command goes on there."
                    raise ApiAway(error.summary, hint=hint) from error
                time.sleep(PAUSE_SECONDS * failures)


def _take(client: ApiClient, path: str, purpose: str, part: _Part, came: Callable[[], None]) -> None:
    if part.size and part.length == part.size:
        return
    with client.stream(path, headers=part.headers, purpose=purpose) as response:
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            part.begin_anew()
        with part.path.open("ab", buffering=0) as file:
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                came()


def _progress() -> Progress:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _name(partial: Path, target: Path) -> None:
    try:
        target.hardlink_to(partial)  # never replaces a file that is there
    except FileExistsError as error:
        raise EvidenceBroken(f"There is a file {target} already.", hint="Name another with --output.") from error
    partial.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_name(headers: httpx.Headers) -> str:
    """The name that the API gives, without any folder."""
    _, _, name = headers.get("content-disposition", "").partition('filename="')
    return Path(name.rstrip('"')).name
