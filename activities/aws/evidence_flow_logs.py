"""Who the target's interfaces talked to, where the account keeps that: its VPC flow logs.

Owns the collector `flow-logs`. Those in CloudWatch Logs are read; of those in a bucket or a stream the place is noted,
and read by who may.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from activities.aws.evidence_scene import Answer, Scene, interfaces_of, not_of
from activities.evidence.platforms.collecting import Draft, Found, Task

MOST_RECORDS, MOST_LOGS = 20_000, 50
_KINDS = ("ec2-instance", "subnet", "security-group")
PERMISSIONS = ("ec2:DescribeFlowLogs", "ec2:DescribeNetworkInterfaces", "logs:FilterLogEvents")


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    if scene.kind not in _KINDS:
        yield not_of("flow-logs", scene)
        return
    draft = Draft(bounds=f"since {task.since.isoformat()}, at most {MOST_RECORDS} records of an interface and log")
    interfaces = draft.part("interfaces", lambda: interfaces_of(scene, draft)) or []
    logs = draft.part("flow_logs", lambda: _logs(scene, draft, interfaces)) or []
    records: dict[str, list[Answer]] = {}
    for log in logs:
        if log.get("LogDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
            draft.cut.append(
                f"{log['FlowLogId']} goes to {log.get('LogDestination', '?')}, which is not read from here"
            )
            continue
        for interface in _covered(log, interfaces):
            name = f"{log['FlowLogId']} {interface}"
            read = draft.part(name, lambda at=log, of=interface: _records(scene, draft, task, (at, of)))  # type: ignore[misc]
            if read is not None:
                records[name] = draft.parts.pop(name)
    draft.parts["records"] = records
    draft.parts["interfaces"] = [one["NetworkInterfaceId"] for one in interfaces]
    draft.events = sum(map(len, records.values()))
    if interfaces and not records:
        draft.missing = "; ".join(draft.cut) or "no flow log covers its interfaces: who they talked to was not recorded"
    yield draft.found("flow-logs", scene.asked)


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
