"""Structured logs: one event a line, with the incident's id, never with a secret.

Owns the configuration of structlog, and that the standard library's loggers (uvicorn, temporalio, alembic)
come out the same way.

    configure("json", "info")
    structlog.contextvars.bind_contextvars(incident_id="inc-4f0c")
"""

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
# Part of a key is enough: api_key, webhook_secret and Authorization are all caught.
_SECRET = re.compile(
    r"(?i)secret|token|password|passwd|authorization|cookie|api_?key|private_?key|credential|signature"
)
# A key named token may hold the name of one; a URL under any key may hold a password.
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
# Frames without their variables: a variable may hold a key, a token or somebody's packets.
_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
_QUIET = ("uvicorn.access", "httpx", "httpcore", "elastic_transport", "alembic")


def configure(log_format: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Send every log line to standard error in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        drop_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log_format))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def drop_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the values of keys that sound like secrets, at any depth, and passwords inside URLs."""
    return {key: REDACTED if _SECRET.search(key) else _clean(value) for key, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _USERINFO.sub(rf"\g<scheme>{REDACTED}@", value)
    if isinstance(value, dict):
        return {k: REDACTED if _SECRET.search(str(k)) else _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return value


def _rendering(log_format: str) -> list[Processor]:
    tidy: Processor = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "json":
        return [tidy, _TRACEBACKS, structlog.processors.JSONRenderer()]
    return [
        tidy,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback),
    ]
