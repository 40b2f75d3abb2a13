"""The management link, as the lab holds it: hosts reach the control plane at the gateway's address.

Owns the relay process's life and its table of ports. The bytes are moved by `lab.relaying`, a process of its
own so that a busy caller adds no latency. Never touches the machine's network.

    lab.relay.start({7233: ("127.0.0.1", 41875), 8000: ("127.0.0.1", 8000)})
    lab.relay.set_ports({7233: ("127.0.0.1", 50111)})   # Temporal came back on another port
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError
from lab.processes import Processes, Spawn
from lab.topology import GATEWAY_IPV4, GATEWAY_IPV6

Upstream = tuple[str, int]


class Relay:
    """TCP from ports of the gateway, inside the lab, to addresses of this machine."""

    def __init__(self, namespace: str, log: Path, processes: Processes) -> None:
        self._namespace = namespace
        self._log = log
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether it was started and still runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, ports: Mapping[int, Upstream]) -> None:
        """Start relaying; returns when every port listens. Raises LabError when one can't."""
        command = [sys.executable, "-m", "lab.relaying", self._namespace, GATEWAY_IPV4, GATEWAY_IPV6]
        if self._process is not None:
            raise LabError("the relay of this lab already runs", hint="Change its ports with set_ports.")
        self._process = self._processes.spawn(Spawn(command, self._log, piped=True))
        self.set_ports(ports)

    def set_ports(self, ports: Mapping[int, Upstream]) -> None:
        """Replace the table: new ports listen, missing ones close, connections that stand are left alone."""
        with self._lock:
            answer = self._ask({str(port): upstream for port, upstream in ports.items()})
        if not answer.get("ok"):
            raise LabError(f"the relay refused the ports {sorted(ports)}: {answer.get('error', 'it ended')}")

    def _ask(self, table: Mapping[str, Upstream]) -> dict[str, object]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LabError("the relay of this lab does not run", hint="Start it first.")
        try:
            process.stdin.write(json.dumps(table).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return {"error": f"it ended; see {self._log}"}
        line = process.stdout.readline()
        return dict(json.loads(line)) if line else {"error": f"it ended; see {self._log}"}

    def stop(self) -> None:
        """End the relay and every connection through it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
