"""What is put into a cluster of the lab from YAML files: roles of an identity, and resource definitions.

Owns applying them and waiting until they count. Never knows where a file came from.

    install_definitions(admin, paths)
    apply_rbac(admin, Path("deploy/kubernetes"), "firebreak/worker"); token_of(admin, "firebreak/worker")
"""

import functools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from lab.errors import LabError
from lab.waiting import wait_until

_MANAGER = "firebreak-lab"
_SERVED_SECONDS = 60.0
_TOKEN_SECONDS = 24 * 3600
_PARALLEL = 4
_OK = range(200, 300)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEFINITION = "CustomResourceDefinition"
_RBAC_PATHS = {
    "Namespace": "/api/v1/namespaces/{name}",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{name}",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}",
}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Manifest = dict[str, Any]


def read_manifests(paths: Iterable[Path]) -> list[Manifest]:
    """Every object of these YAML files, in order."""
    return [
        document
        for path in paths
        for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=_LOADER)
        if document
    ]


def apply_rbac(api: client.ApiClient, manifests: Path, service_account: str) -> None:
    """Apply namespaces, service accounts, roles and bindings of a file or folder, and the service account itself."""
    paths = sorted(manifests.rglob("*.y*ml")) if manifests.is_dir() else [manifests]
    found = [one for one in read_manifests(paths) if one["kind"] in _RBAC_PATHS]
    if not any(one["kind"].endswith("Binding") for one in found):
        raise LabError(f"{manifests} binds no role to anybody", hint="Name the file or folder with the RBAC manifests.")
    namespace, name = service_account.split("/")
    names = {namespace, *(one["metadata"]["namespace"] for one in found if "namespace" in one["metadata"])}
    own: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}} for one in sorted(names)
    ]
    own.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
    rank = list(_RBAC_PATHS)
    for manifest in sorted([*own, *found], key=lambda one: rank.index(one["kind"])):
        apply(api, _RBAC_PATHS[manifest["kind"]].format_map(manifest["metadata"]), manifest)


def _core(kind: str, metadata: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def token_of(api: client.ApiClient, service_account: str) -> str:
    """A token of a service account (`namespace/name`), by TokenRequest."""
    namespace, name = service_account.split("/")
    request = {"spec": {"expirationSeconds": _TOKEN_SECONDS}}
    answer = call(api, "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
    return str(answer["status"]["token"])


def apply(api: client.ApiClient, path: str, manifest: Manifest) -> Manifest:
    """Server-side apply of one object at its path; what stands there of other managers is taken over."""
    return call(api, "PATCH", f"{path}?fieldManager={_MANAGER}&force=true", manifest, "application/apply-patch+yaml")


def call(
    api: client.ApiClient, method: str, path: str, body: Manifest | None = None, content: str = "application/json"
) -> Manifest:
    """One request, JSON in and out. Raises kubernetes.client.ApiException for any answer but 2xx."""
    headers = {"Accept": "application/json", "Content-Type": content}
    # The generated methods know built-in kinds alone; this is what each of them does, for any path.
    request = api.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
    answer = api.call_api(*request)
    content_read: bytes = answer.read()  # type: ignore[no-untyped-call]  # the package leaves it without
    if not _OK.start <= answer.status < _OK.stop:
        raise client.ApiException(http_resp=answer, body=content_read.decode())
    decoded: Manifest = json.loads(content_read)
    return decoded


def install_definitions(api: client.ApiClient, paths: Iterable[Path]) -> None:
    """Install resource definitions and wait until every one is served."""
    wanted = [one for one in read_manifests(paths) if one["kind"] == _DEFINITION]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(lambda one: apply(api, f"{_DEFINITIONS}/{one['metadata']['name']}", one), wanted))
    for path in (path for one in wanted for path in _served_paths(one)):
        wait_until(functools.partial(_is_served, api, path), _SERVED_SECONDS, f"{path} to be served")


def _served_paths(definition: Manifest) -> Iterator[str]:
    spec = definition["spec"]
    for version in spec["versions"]:
        if version["served"]:
            yield f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}?limit=1"


def _is_served(api: client.ApiClient, path: str) -> bool:
    """The handler follows a moment after the condition Established, with a 404 until then: so that is what counts."""
    try:
        call(api, "GET", path)
    except client.ApiException as error:
        if error.status in {404, 503}:
            return False
        raise
    return True
