"""The global stop: show it, switch it on, lift it.

Owns the routes and who may call them: switching on takes a responder, lifting an administrator or break-glass. What
it stops is said by the dispatcher and by workflows, which read it in the ledger.
"""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from activities.contracts.incident import StopState
from api.auth import READER, AdminOrBreakGlass, Responder
from api.dependencies import Given
from api.incidents import ReasonBody
from api.problems import documented

router = APIRouter(tags=["operation"], prefix="/v1/stop")
Why = Annotated[str, Query(min_length=1, max_length=2000, description="Why it is lifted; it is kept.")]


@router.get("", summary="Whether the global stop is on", responses=documented(401, 403), dependencies=[READER])
async def show_stop(given: Given) -> StopState:
    """While it is on nothing is contained that no person has approved."""
    return await asyncio.to_thread(given.ledger.stop.read)


@router.put("", summary="Freeze every automatic containment", responses=documented(401, 403, 422))
async def set_stop(body: ReasonBody, given: Given, who: Responder) -> StopState:
    """Counts for every order that is not given yet. One that is on already stays as it is."""
    switch = partial(given.ledger.stop.set, actor=who.actor, reason=body.reason, now=datetime.now(UTC))
    return await asyncio.to_thread(switch)


@router.delete("", summary="Lift the global stop", responses=documented(401, 403, 422))
async def lift_stop(reason: Why, given: Given, who: AdminOrBreakGlass) -> StopState:
    """What waits for people goes on waiting for them."""
    await asyncio.to_thread(partial(given.ledger.stop.lift, actor=who.actor, reason=reason))
    return StopState()
