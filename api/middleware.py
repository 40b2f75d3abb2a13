"""Around every request: a log line, the headers of every answer, and the incident's id in the log.

Owns nothing of a route. Plain ASGI: Starlette's base class would put a task and two streams between client
and route.
"""

import re
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_INCIDENT = re.compile(r"^/v1/(?:incidents|vault)/([A-Za-z0-9._-]{1,253})(?:/|$)")
HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
log = structlog.get_logger("api.requests")


class Surroundings:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with headers and log context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        found = _INCIDENT.match(scope["path"])
        with structlog.contextvars.bound_contextvars(**({"incident_id": found[1]} if found else {})):
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                took = round((time.perf_counter() - began) * 1000, 2)
                log.info("request", method=scope["method"], path=_path(scope), status=status, took_ms=took)


def _path(scope: Scope) -> str:
    """The route's template; for what has no route, nothing that a stranger chose."""
    return str(getattr(scope.get("route"), "path", "(no route)"))
