"""Answers of AWS where the server here has none: mocks, put in place of what would come over the wire.

What is real is all of botocore: signing, paging, parsing, retries. What AWS really answers is told by its API's
documentation alone; docs/verified-against.md lists these calls.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse


class Canned:
    """Answers by operation, each once and the last one for ever."""

    def __init__(self, session: boto3.Session) -> None:
        self._answers: dict[str, list[AWSResponse]] = {}
        self.asked: list[tuple[str, Any]] = []
        session.events.register("before-call", self._note)
        session.events.register("before-send", self._send)

    def json(self, operation: str, *documents: Any, status: int = 200) -> None:
        """In AWS's JSON."""
        self._answers[operation] = [
            _response(json.dumps(one), status, "application/x-amz-json-1.1") for one in documents
        ]

    def xml(self, operation: str, *bodies: str, status: int = 200) -> None:
        """In EC2's XML."""
        self._answers[operation] = [_response(body, status, "text/xml") for body in bodies]

    def refuse(self, operation: str, code: str, *, status: int = 403) -> None:
        """In both at once: a client reads the one that its service speaks."""
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
        self.xml(operation, body, status=status)

    def refuse_json(self, operation: str, code: str, *, status: int = 400, times: int = 1) -> None:
        """An error of a JSON service."""
        self.json(operation, *[{"__type": code, "message": "no"}] * times, status=status)

    def then(self, operation: str, document: Any) -> None:
        """After what was said before."""
        self._answers[operation].append(_response(json.dumps(document), 200, "application/x-amz-json-1.1"))

    def _note(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.asked.append((model.name, params.get("body")))

    def _send(self, event_name: str, **_: Any) -> AWSResponse | None:
        waiting = self._answers.get(event_name.rpartition(".")[2])
        if not waiting:
            return None
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def _response(body: str, status: int, kind: str) -> AWSResponse:
    return AWSResponse("http://127.0.0.1", status, {"Content-Type": kind}, _Body(body.encode()))


class _Body:
    """What botocore reads a response's body from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content
