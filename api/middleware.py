"""Around every request: a log line, the headers of every answer, and the incident's id in the log.

Owns nothing of a route. Plain ASGI: Starlette's base class would put a task and two streams between client
and route.
"""

import re
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_INCIDENT = re.compile(r"^/v1/(?:incidents|vault)/([A-Za-z0-9._-]{1,253})(?:/|$)")
OWN_CAP = ("/v1/alerts/", "/v1/vault/")
HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
log = structlog.get_logger("api.requests")


class Surroundings:
    """ASGI middleware; `max_bytes` caps the bodies of routes that have no cap of their own."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with headers and log context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        began = time.perf_counter()
        body = receive if scope["path"].startswith(OWN_CAP) else _capped(receive, self._max_bytes)
        found = _INCIDENT.match(scope["path"])
        with structlog.contextvars.bound_contextvars(**({"incident_id": found[1]} if found else {})):
            try:
                await self._app(scope, body, answer.send)
            finally:
                took = round((time.perf_counter() - began) * 1000, 2)
                log.info("request", method=scope["method"], path=_path(scope), status=answer.status, took_ms=took)


class _Answer:
    """The answer on its way out: its status is noted, the headers that it lacks are added."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _capped(receive: Receive, max_bytes: int) -> Receive:
    """The framework reads a body before it asks who sends it: this is what keeps that small."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise HTTPException(413)
        return message

    return receive_some


def _path(scope: Scope) -> str:
    """The route's template; for what has no route, nothing that a stranger chose."""
    return str(getattr(scope.get("route"), "path", "(no route)"))
