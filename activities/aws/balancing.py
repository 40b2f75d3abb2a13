"""What would replace a contained instance, or send it work: Auto Scaling groups and load balancers.

Owns how an instance leaves them and comes back. Never decides whether it does.

    resource "instance/i-1", attribute "auto-scaling-group": {"group": "web", "protected": false}
    resource "target/i-1/8080/arn:...:targetgroup/web/1", attribute "registration": "registered"
    resource "classic-balancer/i-1/web", attribute "registration": "registered"
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import Account, Attribute, Question
from activities.aws.errors import absent
from activities.killswitch.platform import Moment
from playbooks.aws import instance_permissions as allowed

REGISTERED = "registered"
# What a target that is not registered, or not any more, looks like: https://docs.aws.amazon.com/elasticloadbalancing/
# latest/application/target-group-health-checks.html, reason codes.
NOT_REGISTERED = frozenset({"Target.NotRegistered", "Target.DeregistrationInProgress"})
LEAVING = ("Terminating", "Terminated", "Detaching", "Detached")


def _scaled(account: Account, names: list[str]) -> dict[str, dict[str, Any]]:
    found = account.client("autoscaling").describe_auto_scaling_instances(InstanceIds=names)["AutoScalingInstances"]
    return {seen["InstanceId"]: seen for seen in found}


def _target_groups(account: Account, _: list[str]) -> dict[str, list[dict[str, Any]]]:
    pages = account.client("elbv2").get_paginator("describe_target_groups").paginate()
    return {EVERY: [group for page in pages for group in page["TargetGroups"]]}


def _health(account: Account, arns: list[str]) -> dict[str, list[dict[str, Any]]]:
    elb = account.client("elbv2")
    return {arn: elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"] for arn in arns}


def _classic(account: Account, _: list[str]) -> dict[str, list[dict[str, Any]]]:
    pages = account.client("elb").get_paginator("describe_load_balancers").paginate()
    return {EVERY: [balancer for page in pages for balancer in page["LoadBalancerDescriptions"]]}


EVERY = "every"
# DescribeAutoScalingInstances takes at most 50.
SCALED = Question("auto scaling", _scaled, most=50)
TARGET_GROUPS = Question("target groups", _target_groups, most=1)
HEALTH = Question("target health", _health, most=1)
CLASSIC = Question("classic load balancers", _classic, most=1)
HEALTH_AT_ONCE = 8


def read_scaling(account: Account, name: str) -> JsonValue:
    """The Auto Scaling group of an instance and its protection there; None where it is in none."""
    found = account.ask(SCALED, name)
    if found is None or found["LifecycleState"].startswith(LEAVING):
        return None
    return {"group": found["AutoScalingGroupName"], "protected": bool(found["ProtectedFromScaleIn"])}


def write_scaling(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Detach the instance, leaving the group's size to the group; or attach it again."""
    scaling, now = account.client("autoscaling"), read_scaling(account, name)
    if isinstance(now, dict) and (value is None or (isinstance(value, dict) and now["group"] != value["group"])):
        scaling.detach_instances(
            InstanceIds=[name], AutoScalingGroupName=now["group"], ShouldDecrementDesiredCapacity=False
        )
        now = None
    if not isinstance(value, dict):
        return
    if now is None:
        scaling.attach_instances(InstanceIds=[name], AutoScalingGroupName=value["group"])
        now = read_scaling(account, name)
    if now == value:
        return  # what joins is Pending for a while, and refuses to be protected until it is in service
    scaling.set_instance_protection(
        InstanceIds=[name], AutoScalingGroupName=value["group"], ProtectedFromScaleIn=bool(value["protected"])
    )


def _target(name: str) -> tuple[str, dict[str, Any]]:
    target, port, arn = name.split("/", 2)
    return arn, {"Id": target, "Port": int(port)}


def read_target(account: Account, name: str) -> JsonValue:
    """Whether a target is registered; one that drains is not any more."""
    arn, target = _target(name)
    try:
        found = account.client("elbv2").describe_target_health(TargetGroupArn=arn, Targets=[target])
    except ClientError as error:
        if absent(error):
            return None
        raise
    states = found["TargetHealthDescriptions"]
    return REGISTERED if any(map(is_registered, states)) else None


def is_registered(state: dict[str, Any]) -> bool:
    """Whether a target's health says that it is registered."""
    health = state["TargetHealth"]
    return health.get("Reason") not in NOT_REGISTERED and health["State"] != "draining"


def write_target(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Register the target, or take it out."""
    arn, target = _target(name)
    elb = account.client("elbv2")
    call = elb.deregister_targets if value is None else elb.register_targets
    call(TargetGroupArn=arn, Targets=[target])


def target_groups(account: Account) -> list[dict[str, Any]]:
    """Every target group of the account in this region."""
    return account.ask(TARGET_GROUPS, EVERY) or []


def registrations(account: Account, groups: Iterable[dict[str, Any]], addresses: frozenset[str]) -> Iterator[str]:
    """Every target of these groups that is the instance; AWS can't be asked the other way round."""
    arns = [str(group["TargetGroupArn"]) for group in groups]
    with ThreadPoolExecutor(HEALTH_AT_ONCE, thread_name_prefix="health") as pool:
        healths = pool.map(lambda arn: account.ask(HEALTH, arn) or [], arns)
    for arn, states in zip(arns, healths, strict=True):
        yield from _registered(arn, states, addresses)


def _registered(arn: str, states: list[dict[str, Any]], addresses: frozenset[str]) -> Iterator[str]:
    for state in states:
        target = state["Target"]
        if target["Id"] in addresses and is_registered(state):
            yield f"target/{target['Id']}/{target['Port']}/{arn}"


def read_classic(account: Account, name: str) -> JsonValue:
    """Whether a classic load balancer sends to the instance."""
    instance, _, balancer = name.partition("/")
    try:
        found = account.client("elb").describe_load_balancers(LoadBalancerNames=[balancer])
    except ClientError as error:
        if absent(error):
            return None
        raise
    members = {item["InstanceId"] for seen in found["LoadBalancerDescriptions"] for item in seen["Instances"]}
    return REGISTERED if instance in members else None


def write_classic(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Take the instance out of a classic load balancer, or put it back."""
    instance, balancer = name.split("/", 1)
    elb = account.client("elb")
    call = elb.deregister_instances_from_load_balancer if value is None else elb.register_instances_with_load_balancer
    call(LoadBalancerName=balancer, Instances=[{"InstanceId": instance}])


def classic_balancers(account: Account, instance: str) -> Iterator[str]:
    """Every classic load balancer that sends to the instance."""
    for balancer in account.ask(CLASSIC, EVERY) or []:
        if instance in {item["InstanceId"] for item in balancer["Instances"]}:
            yield f"classic-balancer/{instance}/{balancer['LoadBalancerName']}"


ATTRIBUTES = {
    ("instance", "auto-scaling-group"): Attribute(read_scaling, write_scaling, allowed.SCALING),
    ("target", "registration"): Attribute(read_target, write_target, allowed.TARGET_GROUP),
    ("classic-balancer", "registration"): Attribute(read_classic, write_classic, allowed.CLASSIC_BALANCER),
}
