"""What is set on an EC2 instance itself: protection, profile, snapshots.

Owns how each is read and written. Never touches its network: `activities.aws.interfaces` does.

    resource "instance/i-1", attributes "termination-protection", "shutdown-behavior", "instance-profile", "snapshots"
    resource "block-device/i-1//dev/xvda", attribute "delete-on-termination"
"""

from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws.attributes import INCIDENT_TAG, Account, Attribute, Question
from activities.aws.errors import absent
from activities.killswitch.platform import Moment, PlatformRefused
from playbooks.aws import instance_permissions as allowed

LIVE_ASSOCIATIONS = ["associating", "associated"]


def _described(account: Account, names: list[str]) -> dict[str, dict[str, Any]]:
    # Asked by filter: one that is gone must not hide the others.
    filters = [{"Name": "instance-id", "Values": names}]
    pages = account.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    reservations = (reservation for page in pages for reservation in page["Reservations"])
    return {seen["InstanceId"]: seen for reservation in reservations for seen in reservation["Instances"]}


def _associated(account: Account, names: list[str]) -> dict[str, dict[str, Any]]:
    filters = [{"Name": "instance-id", "Values": names}, {"Name": "state", "Values": LIVE_ASSOCIATIONS}]
    pages = account.client("ec2").get_paginator("describe_iam_instance_profile_associations").paginate(Filters=filters)
    return {found["InstanceId"]: found for page in pages for found in page["IamInstanceProfileAssociations"]}


INSTANCES = Question("instances", _described)
PROFILES = Question("instance profiles", _associated)


def instance(account: Account, name: str) -> dict[str, Any] | None:
    """An instance as EC2 describes it; None where it is gone."""
    seen = account.ask(INSTANCES, name)
    return None if seen is None or seen["State"]["Name"] == "terminated" else seen


def _attribute(account: Account, name: str, attribute: str) -> JsonValue:
    try:
        answer = account.client("ec2").describe_instance_attribute(InstanceId=name, Attribute=attribute)
    except ClientError as error:
        if absent(error):
            return None
        raise
    value: JsonValue = answer[attribute[0].upper() + attribute[1:]]["Value"]
    return value


def read_protection(account: Account, name: str) -> JsonValue:
    """Whether the API refuses to terminate it."""
    return _attribute(account, name, "disableApiTermination")


def write_protection(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Have the API refuse, or not."""
    account.client("ec2").modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": bool(value)})


def refuse_protection(account: Account, name: str, value: JsonValue) -> str:
    """EC2's dry run of it."""
    account.client("ec2").modify_instance_attribute(
        InstanceId=name, DisableApiTermination={"Value": bool(value)}, DryRun=True
    )
    return ""


def read_shutdown(account: Account, name: str) -> JsonValue:
    """What a shutdown from inside does: stop, or terminate."""
    return _attribute(account, name, "instanceInitiatedShutdownBehavior")


def write_shutdown(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Have a shutdown from inside stop or terminate it."""
    account.client("ec2").modify_instance_attribute(
        InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": str(value)}
    )


def read_keep(account: Account, name: str) -> JsonValue:
    """Whether a volume is deleted with its instance; None where it is not attached."""
    owner, _, device = name.partition("/")
    seen = instance(account, owner) or {}
    ebs = (item["Ebs"] for item in seen.get("BlockDeviceMappings", []) if item["DeviceName"] == device)
    return next((bool(item["DeleteOnTermination"]) for item in ebs), None)


def write_keep(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Have a volume deleted with its instance, or not."""
    owner, device = name.split("/", 1)
    mapping = {"DeviceName": device, "Ebs": {"DeleteOnTermination": bool(value)}}
    account.client("ec2").modify_instance_attribute(InstanceId=owner, BlockDeviceMappings=[mapping])


def read_profile(account: Account, name: str) -> JsonValue:
    """The ARN of its instance profile; None where it has none."""
    association = account.ask(PROFILES, name)
    return str(association["IamInstanceProfile"]["Arn"]) if association else None


def write_profile(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Take the profile from it, or give it back."""
    ec2, association = account.client("ec2"), account.ask(PROFILES, name)
    if value is not None and association is None:
        ec2.associate_iam_instance_profile(InstanceId=name, IamInstanceProfile={"Arn": str(value)})
    elif value is not None and association is not None:
        ec2.replace_iam_instance_profile_association(
            AssociationId=association["AssociationId"], IamInstanceProfile={"Arn": str(value)}
        )
    elif association is not None:
        ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])


def read_snapshots(account: Account, name: str) -> JsonValue:
    """The volumes of the instance of which this incident has begun a snapshot; None where of none."""
    filters = [
        {"Name": f"tag:{INCIDENT_TAG}", "Values": [account.incident_id]},
        {"Name": "tag:firebreak:instance", "Values": [name]},
    ]
    pages = account.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)
    found = {str(seen["VolumeId"]) for page in pages for seen in page["Snapshots"] if seen["State"] != "error"}
    volumes: list[JsonValue] = [*sorted(found)]
    return volumes or None


def write_snapshots(account: Account, name: str, value: JsonValue, _: Moment) -> None:
    """Begin a snapshot of every volume at one point in time: together they are consistent, one by one they are not."""
    if value is None:
        raise PlatformRefused(f"the snapshots of instance/{name} are evidence: they are not taken back.")
    tags = [
        {"Key": INCIDENT_TAG, "Value": account.incident_id},
        {"Key": "firebreak:instance", "Value": name},
    ]
    account.client("ec2").create_snapshots(
        InstanceSpecification={"InstanceId": name, "ExcludeBootVolume": False},
        Description=f"Firebreak, incident {account.incident_id}, {name}"[:255],
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )


def refuse_snapshots(account: Account, name: str, _: JsonValue) -> str:
    """EC2's dry run of it."""
    account.client("ec2").create_snapshots(InstanceSpecification={"InstanceId": name}, DryRun=True)
    return ""


ATTRIBUTES = {
    ("instance", "termination-protection"): Attribute(
        read_protection, write_protection, allowed.PROTECTION, refuse_protection
    ),
    ("instance", "shutdown-behavior"): Attribute(read_shutdown, write_shutdown, allowed.SHUTDOWN),
    ("block-device", "delete-on-termination"): Attribute(read_keep, write_keep, allowed.VOLUMES),
    ("instance", "instance-profile"): Attribute(read_profile, write_profile, allowed.PROFILE),
    ("instance", "snapshots"): Attribute(read_snapshots, write_snapshots, allowed.SNAPSHOTS, refuse_snapshots),
}
