"""A file system that answers late, or never: FUSE as an intruder may serve it, with one executable file.

    python -m tests.activities.host_evidence.slow_files FOLDER PROGRAM SECONDS

Mounts itself on the folder with a copy of the program, `tool`, that is eight mebibytes long. What lies in the first is
given at once, so that it runs; each piece behind it takes so many seconds, and `never` is what it says. Ends with its
input. The messages are those of linux/fuse.h, as far as one file needs them.
"""

import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE, AT_ONCE = 8 << 20, 1 << 20
_ROOT, _TOOL = 1, 2
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE = 1, 2, 3, 14, 15, 18
_FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 29, 36, 42
_HEADER, _ANSWER = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
_SILENT = frozenset({_FORGET, _BATCH_FORGET, _INTERRUPT})


@contextmanager
def slow_file(folder: Path, program: str, seconds: str) -> Iterator[Path]:
    """The executable; every read that waits then fails when it is left."""
    folder.mkdir()
    command = (sys.executable, "-m", "tests.activities.host_evidence.slow_files", str(folder), program, seconds)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        try:
            yield folder / "tool"
        finally:
            server.kill()
            subprocess.run(("umount", "--lazy", str(folder)), check=True)


def _attributes(node: int) -> bytes:
    mode, size = (0o040755, 0) if node == _ROOT else (0o100755, SIZE)
    return struct.pack("=6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _entry(node: int) -> bytes:
    return struct.pack("=4Q2I", node, 0, 3600, 3600, 0, 0) + _attributes(node)


def _answer(opcode: int, node: int, body: bytes, content: bytes, seconds: float | None) -> bytes | int | None:
    """What to say; a number is an error, None is silence."""
    if opcode != _READ:
        fixed: dict[int, bytes | int] = {
            _INIT: struct.pack("=4I2H2I2H8I", 7, 31, 1 << 17, 0, 4, 4, 1 << 17, 1, 0, 0, *[0] * 8),
            _LOOKUP: _entry(_TOOL) if body == b"tool\0" else errno.ENOENT,
            _GETATTR: struct.pack("=Q2I", 3600, 0, 0) + _attributes(node),
            **dict.fromkeys((_OPEN, _OPENDIR), struct.pack("=Q2I", 0, 0, 0)),
            **dict.fromkeys((_RELEASE, _RELEASEDIR, _FLUSH), b""),
        }
        return fixed.get(opcode, errno.ENOSYS)
    offset, size = struct.unpack_from("=QI", body, 8)
    if offset >= AT_ONCE:
        if seconds is None:
            return None
        time.sleep(seconds)
    return content[offset : offset + size]


def main(folder: str, program: str, seconds: str) -> None:
    content = Path(program).read_bytes().ljust(SIZE, b"\0")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"slow", folder.encode(), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    pause = None if seconds == "never" else float(seconds)
    while True:
        request = os.read(device, 1 << 18)
        _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
        said = _answer(opcode, node, request[_HEADER.size :], content, pause)
        if said is None or opcode in _SILENT:
            continue
        error, data = (-said, b"") if isinstance(said, int) else (0, said)
        with contextlib.suppress(FileNotFoundError):  # whoever asked has given up
            os.write(device, _ANSWER.pack(_ANSWER.size + len(data), error, unique) + data)


if __name__ == "__main__":
    main(*sys.argv[1:])
