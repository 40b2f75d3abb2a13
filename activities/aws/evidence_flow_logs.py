"""Who the target's interfaces talked to, where the account keeps that: its VPC flow logs.

Owns the collector `flow-logs`, and reads those in CloudWatch Logs itself. Those in a bucket are read by
`evidence_flow_files`; of those in a stream the place is noted, and read by who may.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from activities.aws import evidence_flow_files
from activities.aws.evidence_flow_files import MOST_FILES, Files
from activities.aws.evidence_flow_lines import MOST_KEPT, MOST_PACKED, MOST_PLAIN
from activities.aws.evidence_scene import Answer, Scene, interfaces_of, not_of
from activities.evidence.platforms.collecting import Draft, Found, Task

MOST_RECORDS, MOST_LOGS = 20_000, 50
_KINDS = ("ec2-instance", "subnet", "security-group")
PERMISSIONS = (
    "ec2:DescribeFlowLogs",
    "ec2:DescribeNetworkInterfaces",
    "logs:FilterLogEvents",
    *evidence_flow_files.PERMISSIONS,
)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    if scene.kind not in _KINDS:
        yield not_of("flow-logs", scene)
        return
    draft = Draft(bounds=f"since {task.since.isoformat()}, at most {MOST_RECORDS} records of an interface and log")
    interfaces = draft.part("interfaces", lambda: interfaces_of(scene, draft)) or []
    logs = draft.part("flow_logs", lambda: _logs(scene, draft, interfaces)) or []
    records: dict[str, list[Answer]] = {}
    files: dict[str, list[Answer]] = {}
    reading = Files(scene, draft, task)
    for log in logs:
        match log.get("LogDestinationType", "cloud-watch-logs"):
            case "cloud-watch-logs":
                records |= _records_of(scene, draft, task, log, _covered(log, interfaces))
            case "s3":
                delivered = reading.read(log, _covered(log, interfaces))
                files |= {} if delivered is None else {log["FlowLogId"]: delivered}
            case _:
                where = log.get("LogDestination", "?")
                draft.cut.append(f"{log['FlowLogId']} goes to {where}, which is not read from here")
    draft.parts |= {"records": records, "files": files}
    draft.parts["interfaces"] = [one["NetworkInterfaceId"] for one in interfaces]
    draft.events = sum(map(len, records.values())) + sum(len(one["lines"]) for each in files.values() for one in each)
    if files:
        draft.bounds += f"; {_bounds_of(reading)}"
    if interfaces and not (records or files):
        draft.missing = "; ".join(draft.cut) or "no flow log covers its interfaces: who they talked to was not recorded"
    yield draft.found("flow-logs", scene.asked)


def _bounds_of(reading: Files) -> str:
    """What of files in buckets is in the document, and what is not."""
    most = f"{MOST_PACKED >> 20} MiB as stored, {MOST_PLAIN >> 20} MiB unpacked and {MOST_KEPT >> 20} MiB kept"
    bounds = (
        f"of files in buckets those of {reading.since.isoformat()} to {reading.until.isoformat()} that were there, at"
        f" most {MOST_FILES} of a flow log and {most} of all; of those the lines of the target's interfaces:"
        f" {reading.left_out} lines of others were left out"
    )
    if reading.unsorted:
        bounds += f"; {', '.join(reading.unsorted)} tell no interface: of those all lines"
    return bounds


def _records_of(scene: Scene, draft: Draft, task: Task, log: Answer, interfaces: list[str]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for interface in interfaces:
        name = f"{log['FlowLogId']} {interface}"
        read = draft.part(name, lambda of=interface: _records(scene, draft, task, (log, of)))  # type: ignore[misc]
        if read is not None:
            found[name] = draft.parts.pop(name)
    return found


def _logs(scene: Scene, draft: Draft, interfaces: list[Answer]) -> list[Answer]:
    covering = {one[key] for one in interfaces for key in ("NetworkInterfaceId", "SubnetId", "VpcId") if one.get(key)}
    if not covering:
        return []
    wanted = [{"Name": "resource-id", "Values": sorted(covering)}]
    return scene.pages(draft, ("ec2", "describe_flow_logs", "FlowLogs"), MOST_LOGS, Filters=wanted)


def _covered(log: Answer, interfaces: list[Answer]) -> list[str]:
    resource = log["ResourceId"]
    return [
        one["NetworkInterfaceId"]
        for one in interfaces
        if resource in (one["NetworkInterfaceId"], one.get("SubnetId"), one.get("VpcId"))
    ]


def _records(scene: Scene, draft: Draft, task: Task, what: tuple[Answer, str]) -> list[Answer]:
    log, interface = what
    found = scene.pages(
        draft,
        ("logs", "filter_log_events", "events"),
        MOST_RECORDS,
        task,
        logGroupName=log["LogGroupName"],
        # Each interface has a stream of its own: eni-1-all (VPC guide, "Flow logs in CloudWatch Logs").
        logStreamNamePrefix=interface,
        startTime=_milliseconds(task.since),
        endTime=_milliseconds(datetime.now(UTC)),
    )
    return [one for one in found if str(one.get("logStreamName", interface)).startswith(interface)]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
