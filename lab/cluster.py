"""A Kubernetes API that runs here: a real kube-apiserver and etcd on loopback, with RBAC, and nothing behind it.

Owns both processes, their keys and their folder; all are gone when the context ends, however it ends. Never runs a
controller, a kubelet or a network: what is written stays as written, pods never start, and a deleted namespace stays
`Terminating` for ever. So two users of one cluster keep apart by names: each takes its own from `Cluster.namespace`,
and gives cluster-wide objects a name that starts with it.

    with Cluster() as cluster:
        cluster.install_crds("cilium")
        here = cluster.namespace("web")
        CoreV1Api(cluster.admin).list_namespaced_pod(here)
"""

import functools
import itertools
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3
import yaml
from kubernetes import client

from lab import cluster_objects, cluster_parts
from lab.cluster_keys import Keys, write_keys
from lab.cluster_objects import Manifest
from lab.cluster_parts import AddOn
from lab.errors import LabError
from lab.processes import Processes, Spawn
from lab.waiting import wait_until

SERVICE_RANGE = "10.77.200.0/24"
_READY_SECONDS = 60.0
_LOG_LINES = 15
_HTTP_OK = 200


class Cluster:
    """One API server with its store, from `__enter__` to `__exit__`.

    `state_dir` holds keys, kubeconfigs, logs and data: the caller's, or one of our own that ends with us.
    """

    def __init__(self, state_dir: Path | None = None) -> None:
        self._own_dir = state_dir is None
        self._given_dir = state_dir
        self._processes = Processes(on_spawn=lambda _: None)
        self._started: list[_Started] = []
        self._numbers = itertools.count(1)
        self._installed: set[AddOn] = set()

    # --- its life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        programs = cluster_parts.programs()
        self.state_dir = self._given_dir or Path(tempfile.mkdtemp(prefix="firebreak-cluster-"))
        self.state_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._start(programs)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "admin" in vars(self):
            self.admin.close()  # type: ignore[no-untyped-call]  # the package leaves it without
        self._stop()

    def _start(self, programs: Path) -> None:
        self._keys = write_keys(self.state_dir)
        self._admin_token = secrets.token_hex(24)
        tokens = self.state_dir / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self._admin_token},admin,admin,"system:masters"\n', encoding="utf-8")
        store, peer, port = _free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        self._spawn(_etcd(programs, self.state_dir, store, peer))
        self._spawn(_server(programs, self._keys, tokens, store, port))
        wait_until(lambda: _running(self._started) and self._ready(), _READY_SECONDS, f"{self.url}/readyz")

    def _spawn(self, command: list[str]) -> None:
        log = self.state_dir / f"{Path(command[0]).name}.log"
        self._started.append(_Started(self._processes.spawn(Spawn(command=command, log=log, cwd=self.state_dir)), log))

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Etcd and kube-apiserver while they run, in this order; for those who break one on purpose."""
        return [one.process for one in self._started]

    def _stop(self) -> None:
        # Killed, not asked: neither holds anything that outlives us, and etcd's farewell takes seconds.
        self._processes.close()
        if self._own_dir:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def _ready(self) -> bool:
        with urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=2.0) as pool:
            try:
                return bool(pool.request("GET", f"{self.url}/readyz").status == _HTTP_OK)
            except urllib3.exceptions.HTTPError:
                return False

    # --- who may do what --------------------------------------------------------------------------------------------

    @property
    def ca_file(self) -> Path:
        """The authority that the server's certificate is verified with."""
        return self._keys.ca

    @functools.cached_property
    def admin(self) -> client.ApiClient:
        """A client that may do everything (group system:masters)."""
        return self.client(self._admin_token)

    def client(self, token: str) -> client.ApiClient:
        """A client with this bearer token; the caller closes it."""
        configuration = client.Configuration(host=self.url)
        configuration.ssl_ca_cert = str(self.ca_file)
        configuration.api_key = {"authorization": f"Bearer {token}"}
        return client.ApiClient(configuration)

    def kubeconfig(self, name: str, token: str | None = None) -> Path:
        """A kubeconfig file of this name for a bearer token; the admin's without one."""
        user = {"token": self._admin_token if token is None else token}
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": "lab", "user": name}}],
            "current-context": name,
        }
        path = self.state_dir / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def restrict(self, manifests: Path, service_account: str) -> Path:
        """A kubeconfig of a service account (`namespace/name`) that holds exactly the RBAC of these YAML files.

        `manifests` is a file, or a folder of them at any depth. Of what they hold, namespaces, service accounts,
        roles and bindings are applied; the rest is not for here.
        """
        cluster_objects.apply_rbac(self.admin, manifests, service_account)
        token = cluster_objects.token_of(self.admin, service_account)
        return self.kubeconfig(service_account.replace("/", "-"), token)

    # --- what is in it ----------------------------------------------------------------------------------------------

    def namespace(self, prefix: str, labels: dict[str, str] | None = None) -> str:
        """Make a namespace nobody else has; its name is the prefix and a number."""
        name = f"{prefix}-{next(self._numbers)}"
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        return name

    def call(self, method: str, path: str, body: Manifest | None = None, content: str = "application/json") -> Manifest:
        """One request as admin, JSON in and out. Raises kubernetes.client.ApiException for any answer but 2xx."""
        return cluster_objects.call(self.admin, method, path, body, content)

    def install_crds(self, *add_ons: AddOn) -> None:
        """Install the published resource definitions of these add-ons and wait until they are served. Idempotent."""
        wanted = [add_on for add_on in add_ons if add_on not in self._installed]
        cluster_objects.install_definitions(
            self.admin, [path for add_on in wanted for path in cluster_parts.definitions(add_on)]
        )
        self._installed.update(wanted)


class _Started:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log


def _running(started: Sequence[_Started]) -> bool:
    """True; raises with the end of its log if one has ended."""
    for one in started:
        if one.process.poll() is not None:
            tail = one.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            raise LabError(
                f"{one.log.stem} ended with {one.process.returncode} instead of running:\n" + "\n".join(tail)
            )
    return True


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _etcd(programs: Path, folder: Path, port: int, peer: int) -> list[str]:
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        str(programs / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",  # nothing here outlives the process
        "--log-level=warn",
    ]


def _server(programs: Path, keys: Keys, tokens: Path, store: int, port: int) -> list[str]:
    return [
        str(programs / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{store}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.certificate}",
        f"--tls-private-key-file={keys.private_key}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={keys.tokens}",
        f"--service-account-key-file={keys.tokens}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        # No controller makes the service account "default" of a namespace, which this plugin would ask for.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",  # would publish our address, and refuses loopback
        "--allow-privileged=true",
        "--profiling=false",
    ]
