"""A small HTTP server that takes Standard Webhooks as the intake does: signed ones, and each of them once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What arrived; `answers` overrides the status of the next ones."""

    url: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0
    answers: list[int] = field(default_factory=list)

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            Webhook(SECRET).verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return 401, b'{"title": "bad signature"}'
        if self.answers:
            return self.answers.pop(0), b""
        message_id = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        known = any(message_id == seen for seen, _ in self.messages)
        if not known:
            self.messages.append((message_id, body.decode()))
        return 202, b'{"status": "already-known"}' if known else b'{"status": "accepted"}'


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = receiver.take(dict(self.headers.items()), body)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/alerts/detections"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
