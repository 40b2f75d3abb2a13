"""One host of the lab, as its users hold it.

Owns running commands inside: short ones that are waited for, long ones that live with the lab. Never changes
links or rules by itself.

    host.run(["nft", "list", "ruleset"]).stdout
    host.popen(["firebreak", "agent"], env={"FIREBREAK_STATE_DIR": "..."}, log=path)
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from lab.entering import within
from lab.errors import LabCommandError
from lab.processes import Processes, Spawn

T = TypeVar("T")


@dataclass(frozen=True)
class LabHost:
    """A host: a network namespace with an identity and a folder of its own."""

    name: str
    namespace: str
    ipv4: str
    ipv6: str
    mgmt_ipv4: str
    mgmt_ipv6: str
    labels: Mapping[str, str]
    machine_id: str
    state_dir: Path
    processes: Processes = field(repr=False)

    def run(
        self, command: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 15.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it. Raises LabCommandError if it fails, unless `check` is off."""
        argv = ["ip", "netns", "exec", self.namespace, *command]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise LabCommandError(
                f"{' '.join(command)} on {self.name} ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done

    def popen(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends with the lab at the latest; `env` is added to ours.

        Its pid is that of the command itself and leads a session. Output goes to `log`, or to a file named
        after the command in `state_dir`.
        """
        return self.processes.spawn(self._spawn(command, env or {}, log, cwd))

    def popen_piped(
        self, command: Sequence[str], *, log: Path | None = None, descriptors: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Like `popen`, with pipes for stdin and stdout; stderr goes to the log. `descriptors` stay open."""
        spawn = self._spawn(command, {}, log, None)
        return self.processes.spawn(replace(spawn, piped=True, descriptors=descriptors))

    def call(self, function: Callable[[], T]) -> T:
        """Run a Python function inside, in a thread of this process: sockets it opens stay inside."""
        return within(self.namespace, function)

    def _spawn(self, command: Sequence[str], env: Mapping[str, str], log: Path | None, cwd: Path | None) -> Spawn:
        identity = {"hostname": self.name, "machine-id": str(self.state_dir / "machine-id")}
        target = log or self.state_dir / f"{Path(command[0]).name}.log"
        return Spawn(command, target, self.namespace, identity, env, cwd)
