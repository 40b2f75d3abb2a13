"""Hears every call to AWS, and fails one.

The failures are stand-ins for what the server here can't produce: a process that dies, an AWS that throttles. They are
raised in botocore, before a request is sent or after it was answered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import boto3
from botocore.awsrequest import AWSResponse

from activities.aws.actions import action_of

Side = Literal["before", "after"]


class Crash(BaseException):
    """The process dies here: nothing of ours may catch it."""


class Wire:
    """Everything that is called by clients made from one boto3 Session."""

    def __init__(self, session: boto3.Session) -> None:
        self.actions: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self._fail: Callable[[Side, str], None] = lambda _side, _action: None
        self._answers: dict[str, list[AWSResponse]] = {}
        session.events.register("before-call", self._before)
        session.events.register("after-call", self._after)
        session.events.register("before-send", self._send)

    def _before(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self._fail("before", action_of(model))
        self.actions.append(action_of(model))
        self.requests.append(params)

    def _after(self, model: Any, **_: Any) -> None:
        self._fail("after", action_of(model))

    def _send(self, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        waiting = self._answers.get(operation)
        return waiting.pop(0) if waiting else None

    def answers(self, operation: str, code: str, status: int, times: int) -> None:
        """Have AWS answer an EC2 operation with an error, this often."""
        self._answers[operation] = [_error(code, status) for _ in range(times)]

    @contextmanager
    def failing(self, error: BaseException, side: Side, matches: Callable[[str], bool], at: int) -> Iterator[None]:
        """Raise at the n-th call that matches, counted from 0."""
        count = iter(range(10_000))

        def fail(where: Side, action: str) -> None:
            if where == side and matches(action) and next(count) == at:
                raise error

        self._fail = fail
        try:
            yield
        finally:
            self._fail = lambda _side, _action: None


def _error(code: str, status: int) -> AWSResponse:
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>".encode()
    return AWSResponse("http://127.0.0.1", status, {"Content-Type": "text/xml"}, _Body(body))


class _Body:
    """What botocore reads a response's body from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


READS = ("Describe", "Get", "List", "AssumeRole")


def changes(action: str) -> bool:
    """Whether a call changes something."""
    return not action.partition(":")[2].startswith(READS)
