"""Waiting for what no event tells of: a condition that is looked at again and again, for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(met: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    """Return once `met` is true."""
    async with asyncio.timeout(seconds):
        while True:
            answer = met()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.05)
