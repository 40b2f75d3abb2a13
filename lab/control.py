"""The control plane of the lab: `firebreak up` as a user would run it, reached by the hosts over the relay.

Owns starting, killing and restarting it, and joining the hosts' agents. Talks to it by HTTP and by its command line
alone, so that whatever works here works for a user.

    control = ControlPlane(lab, state_dir)
    control.start()
    control.join_agents()
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from lab.denials import file_of
from lab.errors import LabError
from lab.host import LabHost
from lab.network import Lab
from lab.processes import Spawn
from lab.topology import DATA_INTERFACE
from lab.waiting import wait_until

START_SECONDS = 40.0


def free_port() -> int:
    """A TCP port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ControlPlane:
    """One `firebreak up` with its embedded parts, and the agents that joined it."""

    def __init__(self, lab: Lab, state_dir: Path, *, siem: bool = True, detect_every: int = 0) -> None:
        self.lab = lab
        self.state_dir = state_dir.resolve()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.ports = {"temporal": free_port(), "api": free_port(), "siem": free_port() if siem else 0}
        self._detect_every = detect_every
        self._up: subprocess.Popen[bytes] | None = None
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The API's address on this machine."""
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def siem_url(self) -> str:
        """The SIEM's address on this machine."""
        return f"http://127.0.0.1:{self.ports['siem']}"

    @property
    def temporal_cli(self) -> str:
        """Temporal's own command line: what anybody who reaches the server could use."""
        return str(Path(sys.executable).parent / "temporal")

    @property
    def admin_token(self) -> str:
        """The token that the first start wrote for its administrator."""
        return (self.state_dir / "admin.token").read_text(encoding="ascii").strip()

    def node(self) -> dict[str, Any]:
        """What the running node says of itself: addresses and process ids."""
        return dict(json.loads((self.state_dir / "node.json").read_text(encoding="utf-8")))

    def start(self, *, environment: dict[str, str] | None = None) -> None:
        """Start it, or start it again on the same state; returns when it is ready."""
        (self.state_dir / "node.json").unlink(missing_ok=True)
        command = [*FIREBREAK, "up", *self._options()]
        spawn = Spawn(command, self.state_dir / "up.log", env=environment or {})
        self._up = self.lab.processes.spawn(spawn)
        wait_until(self._is_ready, START_SECONDS, f"the control plane (see {self.state_dir / 'up.log'})")
        if not self.lab.relay.running:
            self.lab.relay.start({port: ("127.0.0.1", port) for port in self.ports.values() if port})

    def kill(self) -> None:
        """Kill -9 of every process of it at once."""
        pids = [*self.node()["pids"].values()]
        if self._up is not None:
            self._up.kill()
            self._up.wait()
        for pid in pids:
            _kill(pid)
        wait_until(lambda: not any(map(_alive, pids)), 10, "the control plane's end")

    def kill_part(self, name: str) -> None:
        """Kill -9 of one of its processes: `temporal`, `siem`, `api` or `worker`; it is started again."""
        _kill(self.node()["pids"][name])

    def stop(self) -> None:
        """End it as a user would, with SIGTERM."""
        if self._up is not None:
            self._up.terminate()
            self._up.wait(30)

    @contextmanager
    def serve_alone(self) -> Iterator[None]:
        """The API and nothing else of the control plane: what a user meets while the engine is down."""
        environment = {
            "FIREBREAK_STATE_DIR": str(self.state_dir),
            "FIREBREAK_API_PORT": str(self.ports["api"]),
            "FIREBREAK_TEMPORAL_ADDRESS": f"127.0.0.1:{self.ports['temporal']}",
            "FIREBREAK_ADVERTISE_HOST": self.lab.gateway_ipv4,
        }
        serve = self.lab.processes.spawn(Spawn([*FIREBREAK, "serve"], self.state_dir / "serve.log", env=environment))
        try:
            wait_until(self.answers, START_SECONDS, "the API")
            yield
        finally:
            serve.terminate()
            serve.wait(15)

    def answers(self) -> bool:
        """Whether the API answers."""
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line against this node as its administrator."""
        env = {**os.environ, "FIREBREAK_URL": self.url, "FIREBREAK_TOKEN": self.admin_token}
        env |= {"FIREBREAK_STATE_DIR": str(self.state_dir)}
        command = [*FIREBREAK, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode != 0:
            raise LabError(f"firebreak {' '.join(arguments)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def client(self, token: str | None = None) -> httpx.Client:
        """An HTTP client of the API; by default as its administrator."""
        headers = {"Authorization": f"Bearer {token or self.admin_token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def join_agents(self, hosts: Sequence[str] | None = None, *, recorder: bool = True) -> None:
        """Start an agent on each host; returns when every one has joined and answers."""
        wanted = tuple(hosts or self.lab.hosts)
        token = json.loads(self.cli("join-token", "create", "lab", "--uses", "100", "--json").stdout)["token"]
        for name in wanted:
            self.start_agent(self.lab[name], token, recorder=recorder)
        for name in wanted:
            wait_until(partial(self._has_joined, name), START_SECONDS, f"the agent of {name}")
        for name in wanted if recorder else ():
            wait_until(partial(self._says, name, "recorder.json"), START_SECONDS, f"the recorder of {name}")

    def kill_agents(self) -> None:
        """Kill -9 of every agent."""
        for agent in self.agents.values():
            agent.kill()
            agent.wait()

    def restart_agents(self) -> None:
        """Start every agent again, as the host that it has joined as."""
        for name in self.agents:
            (self.lab[name].state_dir / "agent" / "ready").unlink(missing_ok=True)
            self.start_agent(self.lab[name])
        for name in self.agents:
            wait_until(partial(self._has_joined, name), START_SECONDS, f"the agent of {name}")

    def start_agent(self, host: LabHost, token: str = "", *, recorder: bool = True) -> None:
        """Start one agent; without a join token it must have joined before."""
        join = f"http://{self.lab.gateway_ipv4}:{self.ports['api']}"
        environment = {
            "FIREBREAK_STATE_DIR": str(host.state_dir / "agent"),
            "FIREBREAK_NAME": host.name,
            "FIREBREAK_HOST_ID": host.machine_id,
            "FIREBREAK_LABELS": json.dumps(dict(host.labels)),
            "FIREBREAK_RECORDER": str(recorder).lower(),
            "FIREBREAK_RECORDER_INTERFACES": json.dumps([DATA_INTERFACE]),
            "FIREBREAK_DENIALS_FILE": str(file_of(host)),
            "FIREBREAK_LOG_FORMAT": "json",
        }
        command = [*FIREBREAK, "agent", *(["--join", join, "--token", token] if token else [])]
        log = host.state_dir / "agent.log"
        self.agents[host.name] = host.popen(command, env=environment, log=log)

    def _has_joined(self, name: str) -> bool:
        agent = self.agents[name]
        if agent.poll() is not None:
            raise LabError(f"the agent of {name} ended with {agent.returncode}", hint="See agent.log of that host.")
        return self._says(name, "ready")

    def _says(self, name: str, mark: str) -> bool:
        return (self.lab[name].state_dir / "agent" / mark).exists()

    def _options(self) -> list[str]:
        options = ["--state-dir", str(self.state_dir), "--advertise-host", self.lab.gateway_ipv4]
        options += ["--temporal-port", str(self.ports["temporal"]), "--api-port", str(self.ports["api"])]
        options += ["--siem-port", str(self.ports["siem"])] if self.ports["siem"] else []
        return [*options, "--log-group", "5", "--detect-every", str(self._detect_every)]

    def _is_ready(self) -> bool:
        if self._up is not None and self._up.poll() is not None:
            raise LabError(f"firebreak up ended with {self._up.returncode}", hint=f"See {self.state_dir / 'up.log'}.")
        return (self.state_dir / "node.json").exists()


FIREBREAK = (sys.executable, "-m", "api.cli.main")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[0] != "Z"
