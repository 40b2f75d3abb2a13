"""The disks of an instance: a snapshot of each, re-encrypted and shared with who examines it.

Owns the collector `snapshots`. The bytes stay in AWS; the item names them. Each step finds its own work again by the
incident's tag, so a retry makes nothing twice. A real volume takes minutes to hours: what is not complete when the time
budget is spent is said to be pending, and goes on by itself.
"""

import time
from collections.abc import Iterator
from typing import Any

from activities.aws.attributes import INCIDENT_TAG
from activities.aws.evidence_scene import Answer, Scene, not_of
from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.killswitch.platform import PlatformThrottled
from segmentation.errors import FirebreakError

SOURCE_TAG = "firebreak:source"
PERMISSIONS = (
    "ec2:CopySnapshot",
    "ec2:CreateSnapshots",
    "ec2:CreateTags",
    "ec2:DescribeSnapshotAttribute",
    "ec2:DescribeSnapshots",
    "ec2:DescribeVolumes",
    "ec2:ModifySnapshotAttribute",
)
# What EC2 does with the key on our behalf when it re-encrypts a copy (EBS guide, "Permissions to use a KMS key").
KEY_PERMISSIONS = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
POLL_SECONDS = 2.0
_DONE, _ERROR = "completed", "error"


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document, as far as it came within the time budget."""
    if scene.kind != "ec2-instance":
        yield not_of("snapshots", scene)
        return
    draft = Draft(bounds="every EBS volume that is attached; progress as of the end of the time budget")
    volumes = draft.part("volumes", lambda: _volumes(scene, draft)) or []
    if volumes:
        draft.part("snapshots", lambda: _snapshots(scene, draft, task, volumes))
    draft.events = len(draft.parts.get("snapshots") or ())
    yield draft.found("snapshots", scene.asked)


def _volumes(scene: Scene, draft: Draft) -> list[str]:
    mine = [{"Name": "attachment.instance-id", "Values": [scene.place.name]}]
    found = scene.pages(draft, ("ec2", "describe_volumes", "Volumes"), 100, Filters=mine)
    return sorted(str(volume["VolumeId"]) for volume in found)


def _snapshots(scene: Scene, draft: Draft, task: Task, volumes: list[str]) -> list[Answer]:
    _begin(scene, draft, volumes)
    while True:
        ours = _ours(scene, draft)
        of_volumes = {one["VolumeId"]: one for one in ours if one["VolumeId"] in volumes and not _copied_from(one)}
        copies = {_copied_from(one): one for one in ours if _copied_from(one)}
        states = [_step(scene, one, copies) for one in of_volumes.values()]
        pending = [line for line in states if line["state"] == "pending"]
        task.tell(f"{len(states) - len(pending)} of {len(states)} snapshots are complete")
        # A snapshot that was begun a moment ago may not be listed yet.
        missing = sorted(set(volumes) - of_volumes.keys())
        if not (pending or missing) or task.remaining_seconds < POLL_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    draft.cut += [f"{line['volume']}: {line['words']}" for line in pending]
    draft.problems += [f"{line['volume']}: {line['words']}" for line in states if line["state"] == "failed"]
    draft.problems += [f"{volume}: no snapshot of it was begun" for volume in missing]
    return states


def _begin(scene: Scene, draft: Draft, volumes: list[str]) -> None:
    """All at one point in time, unless this incident has begun them already: as a precaution, or in an earlier try."""
    known = {one["VolumeId"] for one in _ours(scene, draft)}
    if known >= set(volumes):
        return
    scene.ask(
        "ec2",
        "create_snapshots",
        InstanceSpecification={"InstanceId": scene.place.name},
        Description=f"Evidence of {scene.account.incident_id}",
        TagSpecifications=_tags(scene),
    )


def _ours(scene: Scene, draft: Draft) -> list[Answer]:
    """This incident's snapshots, those that went wrong left out."""
    tagged = [{"Name": f"tag:{INCIDENT_TAG}", "Values": [scene.account.incident_id]}]
    call = ("ec2", "describe_snapshots", "Snapshots")
    found = scene.pages(draft, call, 500, OwnerIds=["self"], Filters=tagged)
    return [one for one in found if one["State"] != _ERROR]


def _step(scene: Scene, snapshot: Answer, copies: dict[str, Answer]) -> Answer:
    """How far one of them is, after whatever could be done about it now."""
    line: Answer = {
        "volume": snapshot["VolumeId"],
        "snapshot": _described(snapshot),
        "copy": None,
        "shared_with": [],
        "state": "pending",
    }
    try:
        line["words"] = _go_on(scene, line, snapshot, copies)
        line["state"] = "pending" if line["words"] else "complete"
    except PlatformThrottled as error:
        line["words"] = error.summary
    except FirebreakError as error:
        line |= {"state": "failed", "words": error.summary}
    return line


def _go_on(scene: Scene, line: Answer, snapshot: Answer, copies: dict[str, Answer]) -> str:
    """What is still to come, in words; nothing when all is done."""
    kept = snapshot
    if snapshot["State"] != _DONE:
        return f"snapshot {snapshot['SnapshotId']} is at {snapshot.get('Progress') or '0%'}"
    if scene.forensics.kms_key:
        copy = copies.get(snapshot["SnapshotId"])
        if copy is None:
            made = _copy(scene, snapshot)
            return f"copy {made} was begun"
        line["copy"] = _described(copy)
        if copy["State"] != _DONE:
            return f"copy {copy['SnapshotId']} is at {copy.get('Progress') or '0%'}"
        kept = copy
    if scene.forensics.account:
        line["shared_with"] = _share(scene, str(kept["SnapshotId"]))
    return ""


def _copy(scene: Scene, snapshot: Answer) -> str:
    source = str(snapshot["SnapshotId"])
    answer = scene.ask(
        "ec2",
        "copy_snapshot",
        SourceSnapshotId=source,
        SourceRegion=scene.place.region,
        Encrypted=True,
        KmsKeyId=scene.forensics.kms_key,
        Description=f"Evidence of {scene.account.incident_id}, copy of {source}",
        TagSpecifications=_tags(scene, {SOURCE_TAG: source}),
    )
    return str(answer["SnapshotId"])


def _share(scene: Scene, snapshot_id: str) -> list[str]:
    account, attribute = scene.forensics.account, "createVolumePermission"
    if account not in _shared(scene, snapshot_id):
        scene.ask(
            "ec2",
            "modify_snapshot_attribute",
            SnapshotId=snapshot_id,
            Attribute=attribute,
            OperationType="add",
            UserIds=[account],
        )
    return _shared(scene, snapshot_id)


def _shared(scene: Scene, snapshot_id: str) -> list[str]:
    answer = scene.ask("ec2", "describe_snapshot_attribute", SnapshotId=snapshot_id, Attribute="createVolumePermission")
    return sorted(str(one["UserId"]) for one in answer.get("CreateVolumePermissions", ()) if "UserId" in one)


def _copied_from(snapshot: Answer) -> str:
    return next((str(tag["Value"]) for tag in snapshot.get("Tags", ()) if tag["Key"] == SOURCE_TAG), "")


def _described(snapshot: Answer) -> Answer:
    wanted = ("SnapshotId", "State", "Progress", "StartTime", "VolumeSize", "Encrypted", "KmsKeyId")
    return {key: snapshot[key] for key in wanted if key in snapshot}


def _tags(scene: Scene, more: dict[str, str] | None = None) -> list[dict[str, Any]]:
    tags = {INCIDENT_TAG: scene.account.incident_id, **(more or {})}
    return [{"ResourceType": "snapshot", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
