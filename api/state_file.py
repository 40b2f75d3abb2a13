"""Small JSON files of the state directory: tokens and sources.

Owns reading them anew when they changed, and replacing them atomically with mode 0600 while nobody else
does. A running API sees a change with its next request; no restart, no signal.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from segmentation.errors import FirebreakError

Document = TypeVar("Document", bound=BaseModel)


class StateFileInvalid(FirebreakError):
    """A file of ours that does not read."""

    code: ClassVar[str] = "state-file-invalid"


class StateFile(Generic[Document]):
    """One file holding one document; absent means the document's defaults."""

    def __init__(self, path: Path, kind: type[Document]) -> None:
        self._path = path
        self._kind = kind
        self._seen: tuple[int, int, int] | None = None
        self._document = kind()

    def read(self) -> Document:
        """The document as it is now.

        Raises:
            StateFileInvalid: it does not read, or others may read it.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._document = None, self._kind()
            return self._document
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._document, self._seen = self._load(found.st_mode), seen
        return self._document

    def change(self, edit: Callable[[Document], Document]) -> Document:
        """Replace the document by what `edit` makes of it; two changes never lose one another."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._path.with_suffix(".lock")
        with os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            changed = edit(self.read())
            self._write(changed.model_dump_json(indent=2))
        return changed

    def _load(self, mode: int) -> Document:
        if mode & 0o077:
            raise StateFileInvalid(
                f"{self._path} may be read by others (mode {mode & 0o777:o}), expected 600.",
                hint=f"Renew what it holds, or run: chmod 600 {self._path}",
            )
        try:
            return self._kind.model_validate_json(self._path.read_bytes())
        except ValidationError as error:
            raise StateFileInvalid(
                f"{self._path} is not what this version writes: {error.error_count()} errors.",
                hint="Restore it, or remove it and create its entries again.",
            ) from error

    def _write(self, text: str) -> None:
        # Written beside and renamed: a reader sees the old file or the new one, never a half.
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
