"""How people and alerts name a target, and the workload that is meant.

Owns the grammar of references. Pure: hosts are looked up in the inventory, what is in a cluster or an account is known
by its name alone and found there when it is observed.

    resolve_reference("web", inventory)                                   # a host by name or id
    resolve_reference("k8s:prod/shop/pod/web-5d9", inventory)             # also deployment, serviceaccount, ...
    resolve_reference("k8s:prod/node/n1", inventory)                      # cluster-wide: node, namespace
    resolve_reference("aws:123456789012/eu-west-1/instance/i-0abc", inventory)   # role, user, bucket, function, ...
"""

import re
from hashlib import sha256
from typing import ClassVar, Literal, get_args

from pydantic import ValidationError

from segmentation.errors import FirebreakError
from segmentation.workloads import AwsRef, ClusterRef, Inventory, Workload, WorkloadKind

ClusterResource = Literal[
    "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Namespace", "Node", "ServiceAccount"
]
KINDS_IN_CLUSTER: dict[str, WorkloadKind] = {
    "Pod": "pod",
    "Namespace": "namespace",
    "Node": "node",
    "ServiceAccount": "service-account",
}
CLUSTER_RESOURCES: dict[str, ClusterResource] = {name.lower(): name for name in get_args(ClusterResource)}
CLUSTER_WIDE = {"Namespace", "Node"}
KINDS_IN_AWS: dict[str, WorkloadKind] = {
    "instance": "ec2-instance",
    "subnet": "subnet",
    "role": "iam-role",
    "user": "iam-user",
    "bucket": "s3-bucket",
    "function": "lambda-function",
    "security-group": "security-group",
}
LONGEST_ID = 200


class ReferenceUnknown(FirebreakError):
    """A reference that names nothing, or more than one."""

    code: ClassVar[str] = "target-unknown"


def resolve_reference(text: str, inventory: Inventory) -> Workload:
    """The one workload that is meant.

    Raises:
        ReferenceUnknown: it names nothing we know, several, or is no reference; says what was expected.
    """
    scheme, colon, rest = text.strip().partition(":")
    if colon and scheme == "k8s":
        return _in_cluster(text, rest.split("/"))
    if colon and scheme == "aws":
        return _in_aws(text, rest.split("/", 3))
    return _host(text, inventory)


def pod(cluster: str, namespace: str, name: str) -> Workload:
    """A pod as an alert names it: `orchestrator.cluster.name`, `orchestrator.namespace`, `orchestrator.resource.name`.

    Raises:
        ReferenceUnknown: one of the names can't be one.
    """
    return resolve_reference(f"k8s:{cluster}/{namespace}/pod/{name}", Inventory())


def instance(account: str, region: str, name: str) -> Workload:
    """An EC2 instance as an alert names it: `cloud.account.id`, `cloud.region`, `cloud.instance.id`.

    Raises:
        ReferenceUnknown: one of the names can't be one.
    """
    return resolve_reference(f"aws:{account}/{region}/instance/{name}", Inventory())


def _host(text: str, inventory: Inventory) -> Workload:
    wanted = text.strip().removeprefix("host/").lower()
    hosts = [w for w in inventory.workloads if w.kind != "worker"]
    found = [w for w in hosts if wanted in (w.name.lower(), w.workload_id.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(workload.workload_id for workload in found))
        raise ReferenceUnknown(f"{text!r} names {len(found)} hosts: {ids}.", hint="Name one by its id.")
    known = ", ".join(sorted(workload.name for workload in hosts)[:20]) or "none has joined"
    raise ReferenceUnknown(
        f"{text!r} names no host that has joined.",
        hint=f"Hosts: {known}. Others: k8s:CLUSTER/NAMESPACE/pod/NAME, aws:ACCOUNT/REGION/instance/ID.",
    )


def _in_cluster(text: str, parts: list[str]) -> Workload:
    resource = CLUSTER_RESOURCES.get(parts[-2].lower()) if len(parts) in (3, 4) else None
    wide = resource in CLUSTER_WIDE
    if resource is None or len(parts) != (3 if wide else 4):
        raise ReferenceUnknown(
            f"{text!r} is no reference into a cluster.",
            hint=f"Expected k8s:CLUSTER/NAMESPACE/KIND/NAME, kinds: {', '.join(sorted(CLUSTER_RESOURCES))}; "
            "a namespace or node without NAMESPACE.",
        )
    cluster, namespace, name = parts[0], "" if wide else parts[1], parts[-1]
    kind = KINDS_IN_CLUSTER.get(resource, "controller")
    try:
        place = ClusterRef(cluster=cluster, namespace=namespace, resource=resource, name=name)
        workload_id = _identity("k8s", cluster, namespace, resource.lower(), name)
        return Workload(workload_id=workload_id, kind=kind, name=_name(name), kubernetes=place)
    except ValidationError as error:
        raise _invalid(text, error) from None


def _in_aws(text: str, parts: list[str]) -> Workload:
    if len(parts) != 4 or parts[2] not in KINDS_IN_AWS:  # noqa: PLR2004 - account, region, kind, name
        raise ReferenceUnknown(
            f"{text!r} is no reference into an AWS account.",
            hint=f"Expected aws:ACCOUNT/REGION/KIND/NAME, kinds: {', '.join(KINDS_IN_AWS)}.",
        )
    account, region, kind, name = parts
    try:
        place = AwsRef(account=account, region=region, name=name)
        workload_id = _identity("aws", account, region, kind, name)
        return Workload(workload_id=workload_id, kind=KINDS_IN_AWS[kind], name=_name(name), aws=place)
    except ValidationError as error:
        raise _invalid(text, error) from None


def _identity(*parts: str) -> str:
    """A name for the whole place; what does not fit the characters or the length of one is told apart by a hash."""
    plain = ".".join(part for part in parts if part)
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", plain)
    if safe == plain and len(plain) <= LONGEST_ID:
        return plain
    return f"{safe[:LONGEST_ID].rstrip('._-')}.{sha256(plain.encode()).hexdigest()[:12]}"


def _name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).strip("._-") or "unnamed"


def _invalid(text: str, error: ValidationError) -> ReferenceUnknown:
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ReferenceUnknown(f"{text!r}: {where}: {first['msg']}.", hint="Look at the names in the reference.")
