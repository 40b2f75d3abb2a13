"""Flow logs as AWS delivers them to a bucket: what an owner finds there, and what the collector makes of it."""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.aws.evidence import open_evidence
from activities.aws.evidence_scene import Forensics
from activities.aws.sessions import AwsSessions
from activities.contracts.evidence import CollectedItem
from tests.activities.aws.accounts import REGION, Accounts
from tests.activities.aws.estate import Estate
from tests.activities.platform_evidence.keeping import Kept, by_label, evidence, order

HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport action log-status"
BUCKET = "flows"
# Where AWS puts files, by whether folders are as Hive has them, and one for each hour.
SLOTS = {
    (False, False): "{account}/vpcflowlogs/{region}/%Y/%m/%d/",
    (False, True): "{account}/vpcflowlogs/{region}/%Y/%m/%d/%H/",
    (True, False): "aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/year=%Y/month=%m/day=%d/",
    (True, True): "aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/"
    "year=%Y/month=%m/day=%d/hour=%H/",
}


def line(interface: str, port: int = 443) -> str:
    return f"2 1 {interface} 10.9.1.4 203.0.113.9 5001 {port} ACCEPT OK"


def packed(*lines: str, header: str = HEADER) -> bytes:
    return gzip.compress("".join(f"{one}\n" for one in (header, *lines)).encode())


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


@dataclass(frozen=True)
class Bucket:
    """One bucket with the files of one flow log, in folders as `slot` says."""

    accounts: Accounts
    log: str
    name: str
    folder: str = ""
    slot: str = SLOTS[False, False]

    def put(
        self, at: datetime, content: bytes, *, mark: str = "0a1b2c3d", log: str = "", suffix: str = "log.gz"
    ) -> str:
        """One file of this time; its key."""
        account, named = self.accounts.account, log or self.log
        slot = at.strftime(self.slot.format(account=account, region=REGION))
        name = f"{account}_vpcflowlogs_{REGION}_{named}_{at:%Y%m%dT%H%MZ}_{mark}.{suffix}"
        key = f"{self.folder}AWSLogs/{slot}{name}"
        self.accounts.client("s3").put_object(Bucket=self.name, Key=key, Body=content)
        return key


def delivered(estate: Estate, **more: Any) -> Bucket:
    """A flow log of the VPC to a bucket, which is empty yet."""
    name = f"{BUCKET}-{estate.accounts.account}"
    location = {"LocationConstraint": REGION}
    estate.accounts.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    answer = estate.ec2.create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[estate.vpc],
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{name}",
    )
    return Bucket(estate.accounts, answer["FlowLogIds"][0], name, **more)


def described(
    bucket: Bucket, vpc: str, *, file_format: str = "plain-text", hive: bool = False, hourly: bool = False
) -> str:
    """What EC2 says of a flow log with options, and with a folder in its bucket: moto keeps neither."""
    options = {"fileFormat": file_format, "hiveCompatiblePartitions": hive, "perHourPartition": hourly}
    inner = "".join(f"<{name}>{str(value).lower()}</{name}>" for name, value in options.items())
    return (
        f"<R><flowLogSet><item><flowLogId>{bucket.log}</flowLogId><resourceId>{vpc}</resourceId>"
        "<logDestinationType>s3</logDestinationType>"
        f"<logDestination>arn:aws:s3:::{bucket.name}/{bucket.folder}</logDestination>"
        f"<destinationOptions>{inner}</destinationOptions></item></flowLogSet></R>"
    )


class Collecting:
    """The collector on one estate, and what it hands over."""

    def __init__(self, estate: Estate, sessions: AwsSessions, folder: Path) -> None:
        self._estate, self._folder = estate, folder
        self._opening, self.kept = open_evidence(sessions, Forensics()), Kept()

    def __call__(self, budget_seconds: int = 20) -> tuple[CollectedItem, Any]:
        asked = order(self._estate.target, aws=("flow-logs",), budget_seconds=budget_seconds)
        item = by_label(evidence(self._opening, self.kept, self._folder).collect_from_platform(asked))["flow-logs"]
        return item, self.kept.document(item)
