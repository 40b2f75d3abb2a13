"""The lab: hosts as network namespaces, joined by a data and a management network.

Owns building it and the certainty that nothing of it stays behind. Never imports the API and knows no
incident.

    with Lab.create("fb", state_dir=Path("var/demo/lab")) as lab:
        lab.relay.start({7233: ("127.0.0.1", temporal_port)})
        lab["web"].popen(["firebreak", "agent"], env={...}, log=path)

Needs root. A process that ended in any way takes its lab's processes with it; its namespaces are removed by
the next `create` of the same name.
"""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import links, namespaces, teardown
from lab.errors import LabCommandError, LabError
from lab.host import LabHost
from lab.policy import ruleset_for
from lab.processes import Processes
from lab.registry import LabLock, Registry
from lab.relay import Relay
from lab.topology import GATEWAY_IPV4, HOSTS, HostSpec, machine_id_of, namespace_of, namespaces_of

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")


class Lab:
    """A running lab. Made by `create`, ended by `destroy` or by leaving the `with` block."""

    gateway_ipv4 = GATEWAY_IPV4

    def __init__(self, name: str, state_dir: Path, lock: LabLock) -> None:
        self.name = name
        self.state_dir = state_dir
        self._lock = lock
        self._registry = Registry(name)
        self._processes = Processes(self._registry.add)
        hosts = {spec.name: _host(name, state_dir, spec, self._processes) for spec in HOSTS}
        self.hosts: Mapping[str, LabHost] = hosts
        self.relay = Relay(namespace_of(name, "net"), state_dir / "relay.log", self._processes)

    @classmethod
    def create(cls, name: str = "fb", *, state_dir: Path) -> Self:
        """Build the lab; first remove what a crashed one of this name left.

        Raises LabBusyError while another process holds the name, LabError without the rights to build it.
        """
        _check(name)
        lab = cls(name, state_dir, LabLock(name))
        try:
            teardown.clean(name)
            lab._build()
        except BaseException:  # Ctrl-C too: half a lab is nobody's
            lab.destroy()
            raise
        return lab

    @staticmethod
    def leftovers(name: str) -> tuple[str, ...]:
        """What still exists of a lab of this name, in words; empty when nothing does."""
        return teardown.leftovers(name)

    def destroy(self) -> None:
        """End every process, remove everything, give the name back. May be called again."""
        with _no_interrupts():
            try:
                self.relay.stop()
                self._processes.close()
                if self._lock.held:
                    teardown.clean(self.name)
            finally:
                self._lock.release()

    def _build(self) -> None:
        self._registry.begin(mounted_run_dir=not namespaces.run_dir_is_mounted())
        for namespace in namespaces_of(self.name):
            namespaces.create(namespace)
        links.wire(self.name)
        for spec in HOSTS:
            _write_identity(self.hosts[spec.name])
        _load_rulesets({namespace_of(self.name, spec.name): ruleset_for(spec) for spec in HOSTS})

    @property
    def processes(self) -> Processes:
        """Where to start processes that are to end with the lab at the latest."""
        return self._processes

    def __getitem__(self, host: str) -> LabHost:
        return self.hosts[host]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise LabError(f"a lab can't be named {name!r}: expected a lower-case letter and up to 15 letters or digits")
    if os.geteuid() != 0:
        raise LabError(
            f"the lab needs root to make network namespaces, but runs as uid {os.geteuid()}",
            hint="Run it as root.",
        )


def _host(lab: str, state_dir: Path, spec: HostSpec, processes: Processes) -> LabHost:
    return LabHost(
        name=spec.name,
        namespace=namespace_of(lab, spec.name),
        ipv4=spec.ipv4,
        ipv6=spec.ipv6,
        mgmt_ipv4=spec.mgmt_ipv4,
        mgmt_ipv6=spec.mgmt_ipv6,
        labels=spec.labels,
        machine_id=machine_id_of(lab, spec.name),
        state_dir=(state_dir / spec.name).resolve(),
        processes=processes,
    )


def _write_identity(host: LabHost) -> None:
    host.state_dir.mkdir(parents=True, exist_ok=True)
    (host.state_dir / "machine-id").write_text(f"{host.machine_id}\n", encoding="ascii")


def _load_rulesets(rulesets: Mapping[str, str]) -> None:
    """All at once: nft takes longer to start than to load."""
    loading = {namespace: _start_nft(namespace) for namespace in rulesets}
    refusals = {name: nft.communicate(rulesets[name], timeout=10)[1] for name, nft in loading.items()}
    failed = [f"{name}: {refusals[name].strip()}" for name, nft in loading.items() if nft.returncode != 0]
    if failed:
        raise LabCommandError(f"nft refused the policy of {'; '.join(failed)}")


def _start_nft(namespace: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C, however often, waits until the lab is gone, and is raised then.

    Blocking the signal would not do: the kernel gives it to another thread, and Python raises in the main.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        signal.raise_signal(signal.SIGINT)
