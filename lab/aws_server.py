"""An AWS on this machine: moto's server with its gaps shimmed, in a process of its own.

Owns the process and its readiness. Listens on loopback only and knows no credentials: it takes any. What it is a
witness for and what not is in docs/verified-against.md.

    with AwsServer(log=tmp_path / "aws.log") as server:
        boto3.client("ec2", endpoint_url=server.url, ...)
"""

import argparse
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from lab.control import free_port
from lab.errors import LabError
from lab.processes import Processes, Spawn
from lab.waiting import wait_until

BIND = "127.0.0.1"
START_SECONDS = 60.0
# The images that a real region has are thousands, and loading them takes seconds; an instance starts from any id.
ENVIRONMENT = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}


class AwsServer:
    """The server as long as the context lasts; it dies with us too."""

    def __init__(self, log: Path, port: int = 0, *, distance_ms: int = 0) -> None:
        self.port = port or free_port()
        self._distance_ms = distance_ms
        self._log = log
        self._processes = Processes(on_spawn=lambda _: None)

    @property
    def url(self) -> str:
        """What clients take as `endpoint_url`."""
        return f"http://{BIND}:{self.port}"

    def start(self) -> None:
        """Start it; returns when it answers.

        Raises:
            LabError: it did not, and has been ended again.
        """
        command = [sys.executable, "-m", "lab.aws_server", "--port", str(self.port)]
        command += ["--distance-ms", str(self._distance_ms)]
        self._processes.spawn(Spawn(command, self._log, env=ENVIRONMENT))
        try:
            wait_until(self._is_ready, START_SECONDS, f"the AWS server (see {self._log})")
        except LabError:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and everything that it holds."""
        self._processes.close()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/moto-api/data.json", timeout=2.0).is_success
        except httpx.TransportError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def serve(port: int, distance_ms: int) -> None:
    """Answer as AWS until the process ends, each call as late as if it had come from `distance_ms` away."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from lab.moto_shims import KeysThatAreOff, install

    install()
    app = KeysThatAreOff(DomainDispatcherApplication(create_backend_app))
    far = FarAway(app, distance_ms / 1000)
    make_server(BIND, port, far, threaded=True, request_handler=MotoRequestHandler).serve_forever()


class FarAway:
    """The round trip that calls of a real AWS take, beside whatever the server itself takes for them."""

    def __init__(self, app: Any, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """One request."""
        if self._seconds:
            time.sleep(self._seconds)
        return self._app(environ, start_response)


def main() -> None:
    """`python -m lab.aws_server --port N`."""
    parser = argparse.ArgumentParser(description="An AWS on this machine, for tests and the demo.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--distance-ms", type=int, default=0, help="How long each call travels.")
    chosen = parser.parse_args()
    serve(chosen.port, chosen.distance_ms)


if __name__ == "__main__":
    main()
