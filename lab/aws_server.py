"""An AWS on this machine: moto's server with its gaps shimmed, in a process of its own.

Owns the process and its readiness. Listens on loopback only and knows no credentials: it takes any. What it is a
witness for and what not is in docs/verified-against.md.

    with AwsServer(log=tmp_path / "aws.log") as server:
        boto3.client("ec2", endpoint_url=server.url, ...)
"""

import argparse
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

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

    def __init__(self, log: Path, port: int = 0) -> None:
        self.port = port or free_port()
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


def serve(port: int) -> None:
    """Answer as AWS until the process ends."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from lab.moto_shims import KeysThatAreOff, install

    install()
    app = KeysThatAreOff(DomainDispatcherApplication(create_backend_app))
    make_server(BIND, port, app, threaded=True, request_handler=MotoRequestHandler).serve_forever()


def main() -> None:
    """`python -m lab.aws_server --port N`."""
    parser = argparse.ArgumentParser(description="An AWS on this machine, for tests and the demo.")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
