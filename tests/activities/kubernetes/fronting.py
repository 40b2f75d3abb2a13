"""A stand-in for a busy API server: it answers 429 for a while and then hands every request on to the real one.

A server of the lab is never busy enough to throttle one client.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import urllib3
from kubernetes.client import ApiClient, Configuration

STATUS = b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too many requests","code":429}'


@dataclass
class Busy:
    """How many requests it will yet turn away, and how it does that."""

    refusals: int = 0
    code: int = 429
    retry_after: str | None = "0"
    body: bytes = STATUS
    asked: list[str] = field(default_factory=list)


@contextmanager
def fronted(real: ApiClient, busy: Busy) -> Iterator[ApiClient]:
    """A client whose requests go through the stand-in to the server of `real`, with the same credentials."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(real, busy))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    configuration = Configuration(host=f"http://127.0.0.1:{server.server_port}")
    configuration.api_key = dict(real.configuration.api_key)
    configuration.retries = False
    client = ApiClient(configuration)
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]  # the package leaves it without
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(real: ApiClient, busy: Busy) -> type[BaseHTTPRequestHandler]:
    pool = urllib3.PoolManager(ca_certs=real.configuration.ssl_ca_cert)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            busy.asked.append(f"{self.command} {self.path}")
            if busy.refusals > 0:
                busy.refusals -= 1
                retry = {} if busy.retry_after is None else {"Retry-After": busy.retry_after}
                self._answer(busy.code, busy.body, retry)
                return
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type", "authorization")}
            url = f"{real.configuration.host}{self.path}"
            answer = pool.request(self.command, url, body=body or None, headers=headers)
            self._answer(answer.status, answer.data, {"Content-Type": "application/json"})

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - the names that http.server calls

        def _answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """What is asked is in `busy`."""

    return Handler
