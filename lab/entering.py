"""Entering a named network namespace. Imports nothing heavy: small processes of the lab use it.

Owns setns(2) for one function. Never creates a namespace.

    within("fb-web", lambda: socket.create_server(("10.77.0.11", 8000)))
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

RUN_DIR = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def within(namespace: str, function: Callable[[], T]) -> T:
    """Run a function inside a namespace and hand back its result.

    setns(2) moves one thread only: a thread that ends afterwards needs no way back, whatever the function
    raises.
    """

    def enter_and_run() -> T:
        _enter(namespace)
        return function()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(enter_and_run).result()


def _enter(namespace: str) -> None:
    descriptor = os.open(RUN_DIR / namespace, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), namespace)
    finally:
        os.close(descriptor)
