"""Who can talk to whom under these policies, by np-guard's analyzer: a judge that shares no line with our own reading.

Owns handing it namespaces, pods and policies, and reading its answer. It judges NetworkPolicy, Calico's policies as
projectcalico.org/v3 and Istio's AuthorizationPolicy. It passes over AdminNetworkPolicy, Cilium's policies and
hostNetwork without a word, as if they were not there: so those are refused here.

    connections([namespace, web, db, deny_all])     # {Connection("shop/web", EVERY_IPV4, "All connections"), ...}
    connects(connections(...), "shop/web", "shop/db")
"""

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lab.cluster import Cluster
from lab.processes import PROJECT_ROOT

EVERY_IPV4 = "0.0.0.0-255.255.255.255"
EVERY_IPV6 = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
ALL = "All connections"
_INSTALL = PROJECT_ROOT / "deploy" / "judge" / "install"
_SECONDS = 60
_READ = {
    "NetworkPolicy": ("networking.k8s.io/v1", "projectcalico.org/v3"),
    "GlobalNetworkPolicy": ("projectcalico.org/v3",),
    "AuthorizationPolicy": ("security.istio.io/v1", "security.istio.io/v1beta1"),
}
_SECTIONS = {"TCP Connections:": "TCP: ", "non-TCP Connections:": "non-TCP: "}
Manifest = dict[str, Any]


class Connection(NamedTuple):
    """Source and destination are `namespace/pod`, or a range of addresses outside the cluster.

    `what` is the analyzer's word for protocols and ports, such as `{protocols:TCP,dst_ports:5432}`. With Istio's
    policies in play, which see TCP alone, it starts with `TCP: ` or `non-TCP: `.
    """

    source: str
    destination: str
    what: str


class JudgeError(Exception):
    """The judge gave no judgement, or was asked for one it can't give."""


def connections(manifests: Iterable[Manifest]) -> set[Connection]:
    """Every connection that these namespaces, pods and policies leave open. About a second a call.

    A pod's namespace need not be among them. Raises JudgeError for an object that the analyzer would not heed.
    """
    given = list(manifests)
    pods = [one for one in given if one["kind"] == "Pod"]
    policies = [one for one in given if one["kind"] not in {"Pod", "Namespace"}]
    _refuse_unread(pods, policies)
    with tempfile.TemporaryDirectory(prefix="firebreak-judge-") as folder:
        files = {"ns": _namespaces(given), "pods": pods, "policies": policies}
        for name, documents in files.items():
            (Path(folder) / f"{name}.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        return _parsed(_run(Path(folder)))


def of_cluster(cluster: Cluster, *namespaces: str) -> set[Connection]:
    """The same for all pods and NetworkPolicies that these namespaces of a cluster hold now."""
    found: list[Manifest] = []
    for namespace in namespaces:
        found.append({"kind": "Namespace", **cluster.call("GET", f"/api/v1/namespaces/{namespace}")})
        for kind, group in (("Pod", "/api/v1"), ("NetworkPolicy", "/apis/networking.k8s.io/v1")):
            plural = "pods" if kind == "Pod" else "networkpolicies"
            items = cluster.call("GET", f"{group}/namespaces/{namespace}/{plural}")["items"]
            version = group.removeprefix("/apis/").removeprefix("/api/")
            found.extend({**item, "apiVersion": version, "kind": kind} for item in items)
    return connections(found)


def connects(judged: set[Connection], source: str, destination: str) -> bool:
    """Whether anything at all can go from one to the other."""
    return any((one.source, one.destination) == (source, destination) for one in judged)


def _refuse_unread(pods: Sequence[Manifest], policies: Sequence[Manifest]) -> None:
    for policy in policies:
        if policy["apiVersion"] not in _READ.get(policy["kind"], ()):
            raise JudgeError(f"the judge would pass over {policy['kind']} of {policy['apiVersion']}")
    for pod in pods:
        if pod["spec"].get("hostNetwork"):
            raise JudgeError(f"the judge would take {pod['metadata']['name']} for a pod with an address of its own")


def _namespaces(given: Sequence[Manifest]) -> list[Manifest]:
    """Those given and those that pods are in, each with the label that every cluster sets."""
    labels: dict[str, dict[str, str]] = {one["metadata"]["namespace"]: {} for one in given if one["kind"] == "Pod"}
    named = [one["metadata"] for one in given if one["kind"] == "Namespace"]
    labels |= {one["name"]: one.get("labels") or {} for one in named}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {**own, "kubernetes.io/metadata.name": name}},
        }
        for name, own in labels.items()
    ]


def _run(folder: Path) -> str:
    """Its answer, one connection a line. It runs without a network and without programs such as kubectl to call."""
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    files = ["--connectivity", "policies.yaml", "--pod_list", "pods.yaml", "--ns_list", "ns.yaml"]
    form = ["--output_format", "txt_no_fw_rules", "--output_endpoints", "pods", "--print_ipv6", "--file_out", "answer"]
    done = subprocess.run(
        [*apart, _program(), *files, *form],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise JudgeError(f"the judge ended with {done.returncode}: {done.stderr.strip()}")
    return (folder / "answer").read_text(encoding="utf-8")


def _parsed(answer: str) -> set[Connection]:
    found: set[Connection] = set()
    section = ""
    for line in filter(None, answer.splitlines()):
        if line in _SECTIONS:
            section = _SECTIONS[line]
            continue
        ends, between, what = line.partition(" : ")
        source, arrow, destination = ends.partition(" => ")
        if not (between and arrow):
            raise JudgeError(f"the judge said {line!r}, which is no connection")
        found.add(Connection(source, destination, section + what))
    return found


@functools.cache
def _program() -> str:
    """The analyzer; installs it if need be, with progress on stderr."""
    return subprocess.run([_INSTALL], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
