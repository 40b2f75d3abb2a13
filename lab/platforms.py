"""A cluster and an AWS account to contain things in: real API servers on this machine, and what lives in them.

Owns both servers, what `firebreak up` needs to reach them, and pods and instances to contain. The cluster's worker has
exactly the permissions of deploy/kubernetes. No pod runs and no instance either: what is real is the API.

    with Platforms(directory) as platforms:
        control.start(environment=platforms.environment)
        platforms.pods(10)   # -> references: k8s:lab/bench-1/pod/web-1, ...
"""

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from lab.aws_server import AwsServer
from lab.cluster import Cluster

CLUSTER = "lab"
RBAC = Path(__file__).parents[1] / "deploy" / "kubernetes"
WORKER_ACCOUNT = "firebreak/kubernetes-worker"
ACCOUNT, REGION = "123456789012", "eu-west-1"
INTERFACES = 2


class Platforms:
    """Both servers as long as the context lasts."""

    def __init__(self, directory: Path, *, aws_distance_ms: int = 0) -> None:
        self._directory = directory
        self._aws_distance_ms = aws_distance_ms
        self._stack = ExitStack()
        self._pods = 0

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.cluster = stack.enter_context(Cluster(self._directory / "cluster"))
            self.aws = stack.enter_context(AwsServer(self._directory / "aws.log", distance_ms=self._aws_distance_ms))
            self._kubeconfig = self.cluster.restrict(RBAC, WORKER_ACCOUNT)
            self.namespace = self.cluster.namespace("bench")
            self._stack = stack.pop_all()
        self.ec2: Any = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=self.aws.url,
            # Nobody checks them here; a real one would be refused by the real AWS.
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="none",  # noqa: S106 - as above
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a node that holds the credentials of both."""
        return {
            "FIREBREAK_CLUSTERS": json.dumps({CLUSTER: str(self._kubeconfig)}),
            "FIREBREAK_AWS_ENDPOINT_URL": self.aws.url,
            "FIREBREAK_AWS_EXTERNAL_ID": "firebreak-lab",
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "none",
        }

    def pods(self, count: int) -> list[str]:
        """Make pods that a policy lets everybody reach; returns their references."""
        names = [f"web-{number}" for number in range(self._pods + 1, self._pods + count + 1)]
        self._pods += count
        for name in names:
            self.cluster.call("POST", f"/api/v1/namespaces/{self.namespace}/pods", _pod(name))
        return [f"k8s:{CLUSTER}/{self.namespace}/pod/{name}" for name in names]

    def allow_all(self) -> None:
        """A policy that selects the pods and lets everything through: a deny-all beside it would cut nothing."""
        path = f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/networkpolicies"
        spec = {"podSelector": {"matchLabels": {"app": "shop"}}, "ingress": [{}], "egress": [{}]}
        self.cluster.call("POST", path, {"metadata": {"name": "allow-all"}, "spec": spec})

    def instances(self, count: int) -> list[str]:
        """Run instances with two interfaces each in the default VPC; returns their references."""
        group = self.ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
        subnet = self.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        groups = [group["SecurityGroups"][0]["GroupId"]]
        interfaces = [{"DeviceIndex": n, "SubnetId": subnet, "Groups": groups} for n in range(INTERFACES)]
        run = self.ec2.run_instances(
            ImageId="ami-12345678", MinCount=count, MaxCount=count, NetworkInterfaces=interfaces
        )
        return [f"aws:{ACCOUNT}/{REGION}/instance/{one['InstanceId']}" for one in run["Instances"]]

    def are_cut(self, instances: list[str]) -> bool:
        """Whether every interface of these instances has a quarantine group and nothing else."""
        ids = [reference.rsplit("/", 1)[1] for reference in instances]
        wanted = [{"Name": "attachment.instance-id", "Values": ids}]
        found = self.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
        names = [[group["GroupName"] for group in interface["Groups"]] for interface in found]
        return len(found) >= len(ids) and all(n and all(g.startswith("firebreak-") for g in n) for n in names)


def _pod(name: str) -> dict[str, Any]:
    container = {"name": "web", "image": "example.invalid/web:1"}
    return {"metadata": {"name": name, "labels": {"app": "shop", "tier": "front"}}, "spec": {"containers": [container]}}
