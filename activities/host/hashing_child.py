"""A process of its own that reads executables, so that a file system that never answers holds up nobody else.

Owns opening /proc/PID/exe, which file that is, and its SHA-256. Never decides what is read: for each process id on its
input it says which file it is, and is told then up to how many octets of it to read. Imports nothing but the standard
library, since it is started for every collection.

    < 4711
    > file 2049 131 1767323045000000000 6831736        device, inode, time of change, size
    < 268435456
    > digest 9f86d081884c7d65... 6831736               or `beyond`, and how much was read
    < 4712
    > ended                                            or `error` and why
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 20


def main() -> None:
    """Until the input ends."""
    while pid := sys.stdin.readline():
        try:
            with Path(f"/proc/{int(pid)}/exe").open("rb", buffering=0) as file:
                _file(file)
        except (FileNotFoundError, ProcessLookupError):
            _say("ended")
        except OSError as error:
            _say("error", error.strerror)


def _file(file: IO[bytes]) -> None:
    found = os.fstat(file.fileno())
    _say("file", found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    max_bytes = int(sys.stdin.readline() or 0)
    hashed, read = hashlib.sha256(), 0
    while max_bytes and (chunk := file.read(_CHUNK_BYTES)):
        read += len(chunk)
        if read > max_bytes:
            _say("beyond", read)
            return
        hashed.update(chunk)
    _say("digest", hashed.hexdigest(), read)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
