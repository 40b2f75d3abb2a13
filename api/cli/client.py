"""The command line's way to the API.

Owns the connection and the translation of problem documents into errors. Knows no route and no business rule.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import typer

from api.settings import ClientSettings, load
from segmentation.errors import FirebreakError

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# Before the first byte of an export the case is sealed; between two pieces of an item nothing takes as long.
PATIENT = httpx.Timeout(300.0, connect=5.0)


class ApiRefused(FirebreakError):
    """What the API did not do, in its own words."""

    code: ClassVar[str] = "api-refused"


class ApiAway(FirebreakError):
    """Nobody answers at the address."""

    code: ClassVar[str] = "api-away"


class ApiClient:
    """Requests that either return JSON or raise what the problem document says."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str, **query: object) -> Any:
        """GET with a query; what is None is left out."""
        return self._call("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST of a JSON body."""
        return self._call("POST", path, json=body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """PUT of a JSON body."""
        return self._call("PUT", path, json=body)

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> Any:
        """POST of bytes as they are; signed ones must not be written anew."""
        return self._call("POST", path, content=body, headers=headers)

    def delete(self, path: str, **query: str) -> Any:
        """DELETE; None where nothing is answered."""
        return self._call("DELETE", path, params=query)

    def head(self, path: str) -> httpx.Headers:
        """What the headers of a GET would say."""
        with self._reached():
            response = self.http.head(path)
        if response.is_error:  # its problem document is what a HEAD leaves out
            self.get(path.rpartition("/")[0])
            raise ApiRefused(f"The API answered {response.status_code} for {path}.", hint="Look at the list.")
        return response.headers

    @contextmanager
    def stream(
        self, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **query: str
    ) -> Iterator[httpx.Response]:
        """GET, or with a body POST, whose answer is read piece by piece."""
        method = "GET" if body is None else "POST"
        asked = self.http.stream(method, path, params=query, json=body, headers=headers, timeout=PATIENT)
        with self._reached(), asked as response:
            if response.is_error:
                response.read()
            _check(response)
            yield response

    def _call(self, method: str, path: str, **given: Any) -> Any:
        with self._reached():
            response = self.http.request(method, path, **given)
        _check(response)
        return response.json() if response.content else None

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ApiAway(
                f"The API at {self.http.base_url} does not answer: {str(error) or type(error).__name__}.",
                hint="Start it (firebreak up, firebreak serve) or name it with --url or FIREBREAK_URL.",
            ) from error


def api(context: typer.Context) -> ApiClient:
    """The client of this command line, made when first asked for."""
    root = context.find_root()
    if "api" not in root.meta:
        settings = client_settings(context)
        headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
        http = httpx.Client(base_url=settings.url, headers=headers, timeout=TIMEOUT)
        root.call_on_close(http.close)
        root.meta["api"] = ApiClient(http)
    client: ApiClient = root.meta["api"]
    return client


def client_settings(context: typer.Context, **given: Any) -> ClientSettings:
    """What was said before the command, over environment, `.env` and file."""
    options: dict[str, Any] = dict(context.find_root().obj or {})
    return load(ClientSettings, options.pop("config", None), **options, **given)


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    problem = _problem(response)
    lines = [f"  {wrong.get('pointer') or '/'}: {wrong.get('detail', '')}" for wrong in problem.get("errors", [])]
    summary = "\n".join([str(problem.get("detail") or f"The API answered {response.status_code}."), *lines])
    raise ApiRefused(summary, hint=str(problem.get("hint", "")))


def _problem(response: httpx.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    found = response.json()
    return found if isinstance(found, dict) else {}
