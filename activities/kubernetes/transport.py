"""Requests on the wire: bounded in time, sent again only where the server itself asks us to come back later.

Owns timeouts and the wait that a throttling server asks for. Never sends again what may have arrived: an answer that
got lost is the caller's to find out, by reading.

    Transport(client, "prod").send(Ask("get", "GET", Place(PODS, "shop", "web-1")))   # -> Answer(200, {...})
"""

import functools
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from activities.kubernetes import refusals
from activities.kubernetes.client import TIMEOUT
from activities.kubernetes.places import Place

log = structlog.get_logger(__name__)
JSON = "application/json"


@dataclass(frozen=True)
class Patience:
    """How often a throttling server is asked, and how long it is waited for in between, in seconds."""

    attempts: int = 5
    first_wait: float = 0.2
    longest_wait: float = 5.0


@dataclass(frozen=True)
class Ask:
    """One request. `verb` is RBAC's, for the words of an error."""

    verb: str
    method: str
    place: Place
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: str = JSON
    accept: str = JSON
    path: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back, whatever it says. `document` is empty where it is not a JSON object: a proxy's page, say."""

    code: int
    text: str
    retry_after: float | None
    content: bytes = b""

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """The object in it."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Transport:
    """One API server, by one identity. Safe to share between threads."""

    def __init__(self, client: ApiClient, cluster: str, patience: Patience | None = None) -> None:
        self._client: Any = client  # its own annotations cover half of it
        self.cluster = cluster
        self._patience = patience or Patience()

    def send(self, ask: Ask) -> Answer:
        """The answer, once the server no longer asks to wait or our patience has ended.

        Raises:
            PlatformUnreachable: there was none.
        """
        for attempt in range(1, self._patience.attempts):
            answer = self._once(ask)
            wait = self._wait(answer, attempt)
            if wait is None:
                return answer
            log.warning(
                "the API server asks us to wait",
                cluster=self.cluster, asked=f"{ask.verb} {ask.place}", status=answer.code, seconds=round(wait, 2),
                attempt=attempt,
            )  # fmt: skip
            time.sleep(wait)
        return self._once(ask)

    def _wait(self, answer: Answer, attempt: int) -> float | None:
        """Seconds until the next attempt; None where there is to be none."""
        asked = answer.retry_after or 0.0
        if answer.code not in refusals.THROTTLING or asked > self._patience.longest_wait:
            return None
        own = min(self._patience.first_wait * 2 ** (attempt - 1), self._patience.longest_wait)
        # Never sooner than asked; spread, so that ten targets of one incident don't come back at once.
        spread = random.uniform(1.0, 1.5)  # noqa: S311 - hides nothing
        return float(max(asked, own) * spread)

    def _once(self, ask: Ask) -> Answer:
        request = self._client.param_serialize(
            ask.method,
            ask.path or ask.place.path,
            query_params=[(name, value) for name, value in ask.query.items() if value],
            header_params={"Accept": ask.accept, "Content-Type": ask.content},
            body=ask.body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*request, _request_timeout=TIMEOUT)
            content: bytes = response.read()
        except (HTTPError, ApiException, OSError) as error:
            host = self._client.configuration.host
            raise refusals.unreachable(self.cluster, host, ask.verb, ask.place, error) from error
        text = content.decode("utf-8", errors="replace")
        return Answer(response.status, text, _seconds(response.getheader("Retry-After")), content)


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds, the only form that an API server sends."""
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
