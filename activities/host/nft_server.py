"""The process that holds libnftables: reads batches on stdin, answers on stdout. Run by path.

Owns one library context at a time. Kept apart from the agent because libnftables ends its process on errors
it holds for impossible, and started ahead of time because starting is most of what a command line `nft`
costs. Never imports the project, so that it starts at once; ends when its stdin does, that is with the agent.

    request   4 bytes length, JSON             answer   status, 4 + 4 bytes lengths, output, errors
"""

import contextlib
import ctypes
import os
import select
import struct
import sys
from typing import BinaryIO

LENGTH = struct.Struct(">I")
ANSWER = struct.Struct(">iII")
# nftables/libnftables.h
_OUTPUT_JSON = 1 << 4
_IDLE_SECONDS = 1.0
# An intruder who keeps every core busy must not delay the cut by it.
_HIGHEST_PRIORITY = -20


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    context, text = ctypes.c_void_p, ctypes.c_char_p
    library.nft_ctx_new.restype, library.nft_ctx_new.argtypes = context, [ctypes.c_uint32]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [context, text]
    for function in (library.nft_ctx_free, library.nft_ctx_buffer_output, library.nft_ctx_buffer_error):
        function.argtypes = [context]
    for function in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
        function.argtypes, function.restype = [context], text
    return library


def _context(library: ctypes.CDLL) -> int:
    context: int = library.nft_ctx_new(0)
    library.nft_ctx_output_set_flags(context, _OUTPUT_JSON)
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    return context


class Contexts:
    """A fresh context for each batch: a used one remembers interfaces, and may take a later one for another.

    Closing its socket waits for an RCU grace period, 15 ms after a change: so that is done when nobody asks.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._used: list[int] = []
        self._next = _context(library)

    def take(self) -> int:
        """A context that has run nothing."""
        taken, self._next = self._next, 0
        return taken or _context(self._library)

    def give_back(self, context: int) -> None:
        """Note a used one, have the next one ready."""
        self._used.append(context)
        self._next = _context(self._library)

    def tidy(self) -> None:
        """Free the used ones."""
        while self._used:
            self._library.nft_ctx_free(self._used.pop())


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    with contextlib.suppress(PermissionError):  # without CAP_SYS_NICE a busy host is cut off more slowly
        os.setpriority(os.PRIO_PROCESS, 0, _HIGHEST_PRIORITY)
    library = _load()
    contexts = Contexts(library)
    while header := requests.read(LENGTH.size):
        batch = requests.read(LENGTH.unpack(header)[0])
        context = contexts.take()
        status = library.nft_run_cmd_from_buffer(context, batch)
        output = library.nft_ctx_get_output_buffer(context) or b""
        errors = library.nft_ctx_get_error_buffer(context) or b""
        answers.write(ANSWER.pack(status, len(output), len(errors)) + output + errors)
        answers.flush()
        contexts.give_back(context)
        if not select.select([requests], [], [], _IDLE_SECONDS)[0]:
            contexts.tidy()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
