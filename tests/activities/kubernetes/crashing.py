"""Killing a worker at a chosen request, and comparing what it left behind."""

from typing import Any

from kubernetes.client import ApiClient

from tests.activities.kubernetes.making import Ground, Raw

_ROOTS = {
    "pods": "/api/v1",
    "serviceaccounts": "/api/v1",
    "secrets": "/api/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "deployments": "/apis/apps/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
_METADATA = ("name", "labels", "annotations")


class Killed(BaseException):
    """The process ends here. No error that code could handle."""


class Fuse:
    """A client that ends at the n-th request from now: before it is sent, or once the server has done it."""

    def __init__(self, real: ApiClient) -> None:
        self.client = ApiClient(real.configuration)
        self._send: Any = self.client.call_api
        self.client.call_api = self._call  # type: ignore[method-assign]  # where every request passes
        self._left: int | None = None
        self._arrives = False
        self.requests = 0

    def light(self, requests: int, *, arrives: bool) -> None:
        self._left, self._arrives = requests, arrives

    def put_out(self) -> None:
        self._left = None

    def _call(self, *args: Any, **more: Any) -> Any:
        self.requests += 1
        if self._left is None:
            return self._send(*args, **more)
        self._left -= 1
        if self._left:
            return self._send(*args, **more)
        self._left = None
        if self._arrives:
            self._send(*args, **more).read()
        raise Killed


def state(ground: Ground) -> dict[str, Raw]:
    """What is in a namespace, without what the server counts: versions, uids, times."""
    return {
        f"{plural}/{one['metadata']['name']}": _plain(one)
        for plural, root in _ROOTS.items()
        for one in ground.cluster.call("GET", ground.here(plural, root))["items"]
    }


def versions(ground: Ground) -> dict[str, str]:
    """The resourceVersion of everything in a namespace: what was written again has another one."""
    return {
        f"{plural}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for plural, root in _ROOTS.items()
        for one in ground.cluster.call("GET", ground.here(plural, root))["items"]
    }


def _plain(one: Raw) -> Raw:
    metadata = {key: one["metadata"][key] for key in _METADATA if key in one["metadata"]}
    rest = {key: value for key, value in one.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {"metadata": metadata, **rest}
