"""Flow logs that are delivered to a bucket: the files of a flow log that are of the time that was asked for.

Owns where AWS puts them, the bounds on their number, and what is said where one can't be read. The newest come first:
what a bound leaves out is the oldest. Never looks into a line; that is `evidence_flow_lines`.

    found = Files(scene, draft, task).read(log, ["eni-1"])   # log is one of describe_flow_logs
"""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from activities.aws.errors import translated
from activities.aws.evidence_flow_lines import Allowance, Sifted, sift
from activities.aws.evidence_scene import Answer, Scene
from activities.contracts.evidence import Gap
from activities.evidence.platforms.collecting import Draft, Task
from activities.killswitch.platform import PermissionMissing, PlatformRefused, TargetUnknown
from segmentation.errors import FirebreakError
from segmentation.workloads import AwsRef

PERMISSIONS = ("s3:GetObject", "s3:ListBucket")
MOST_FILES, MOST_LISTED = 1000, 20_000
# A file of 16:20 has records that end between 16:20:00 and 16:24:59 (VPC guide, "Flow log files"; an earlier edition
# says between 16:15 and 16:20, and both are covered).
FRAME = timedelta(minutes=5)
_STAMP = re.compile(r"(\d{8}T\d{4}Z)_[^_/]+\.log\.gz")
_WHO_ALLOWS = (
    "The role needs it; for a bucket of another account that bucket's policy has to allow it too, and for files under a"
    " KMS key that key kms:Decrypt."
)


@dataclass(frozen=True)
class Delivery:
    """Where the files of one flow log are: folder, then `slot` as a format of time, then `stem` and a time."""

    log: str
    bucket: str
    folder: str
    slot: str
    stem: str
    every: timedelta

    def prefixes(self, since: datetime, until: datetime) -> Iterator[str]:
        """Of all files of a time, newest first."""
        midnight = until.replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + (until - midnight) // self.every * self.every
        while at + self.every > since:
            yield f"{self.folder}{at.strftime(self.slot)}{self.stem}"
            at -= self.every


@dataclass(frozen=True, order=True)
class _File:
    at: datetime
    key: str
    modified: datetime


@dataclass
class Files:
    """What is read of buckets for one document, and what was left out of it on the way."""

    scene: Scene
    draft: Draft
    task: Task
    allowance: Allowance = field(default_factory=Allowance)
    until: datetime = field(default_factory=lambda: datetime.now(UTC))
    left_out: int = 0
    unsorted: list[str] = field(default_factory=list)

    @property
    def since(self) -> datetime:
        """The time of the oldest file that is asked for."""
        return self.task.since - FRAME

    def read(self, log: Answer, interfaces: list[str]) -> list[Answer] | None:
        """The files of a flow log with the lines of these interfaces; nothing where its form is not read here."""
        name = str(log["FlowLogId"])
        if (log.get("DestinationOptions") or {}).get("FileFormat", "plain-text") != "plain-text":
            words = f"{name} goes to {log.get('LogDestination', '?')} as Parquet, which is not read from here"
            self._cut(words, self.until)
            return None
        found: list[Answer] = []
        refused = len(self.draft.problems)
        self.draft.part(name, lambda: self._read(_delivery(log, self.scene.place), interfaces, found))
        self.draft.parts.pop(name, None)
        if len(self.draft.problems) > refused:
            self._gap(self.task.since, self._whole_from(found), self.draft.problems[-1])
        return found

    def _read(self, delivery: Delivery, interfaces: list[str], found: list[Answer]) -> None:
        # An error about the bucket names the bucket, and a thousand files are one line of what was asked.
        place = AwsRef(account=self.scene.place.account, region=self.scene.place.region, name=delivery.bucket)
        reader = Scene(self.scene.account, place, "s3-bucket", self.scene.forensics)
        where = f"s3://{delivery.bucket}/{delivery.folder}"
        self.scene.asked.append(f"s3 list_objects_v2 {where} of the files of {delivery.log}")
        wanted = frozenset(one.encode() for one in interfaces)
        try:
            for file in self._listed(reader, delivery):
                stop = f"more than the newest {MOST_FILES} files"
                if len(found) < MOST_FILES:
                    found.append(self._file(reader, delivery, file, wanted, is_first=not found))
                    self.task.tell(f"{delivery.log}: {len(found)} files")
                    stop = found[-1].get("stopped", "")
                if stop:
                    self._cut(f"{delivery.log}: {stop}; {len(found)} files were begun", self._whole_from(found))
                    break
        except PermissionMissing as error:
            raise PermissionMissing(f"{error.summary} {_WHO_ALLOWS}", hint=error.hint) from error
        finally:
            self.scene.asked.append(f"s3 get_object {where} {len(found)} files of {delivery.log}")
            self._tell_unread(delivery, found)

    def _listed(self, reader: Scene, delivery: Delivery) -> Iterator[_File]:
        """Files of the time, newest first. Those of a name that AWS does not give are counted, and left."""
        others = 0
        for prefix in delivery.prefixes(self.since, self.until):
            cuts = len(self.draft.cut)
            call = ("s3", "list_objects_v2", "Contents")
            listed = reader.pages(self.draft, call, MOST_LISTED, self.task, Bucket=delivery.bucket, Prefix=prefix)
            if len(self.draft.cut) > cuts:
                # A listing is oldest first: what it left out is newer than what it has.
                self._gap(self.task.since, self.until, self.draft.cut[-1])
            files = [_file_of(one, prefix) for one in listed]
            others += files.count(None)
            yield from sorted((one for one in files if one and self.since < one.at <= self.until), reverse=True)
            if not self.task.remaining_seconds:
                self._cut(f"{delivery.log}: the time budget was spent while files were looked for", self.until)
                break
        if others:
            self.draft.cut.append(f"{delivery.log}: {others} files are no .log.gz of a time, and not read from here")

    def _file(
        self, reader: Scene, delivery: Delivery, file: _File, wanted: frozenset[bytes], *, is_first: bool
    ) -> Answer:
        """One file for the document; `stopped` says why there can be no further one."""
        entry: Answer = {"key": file.key, "time": file.at, "modified": file.modified}
        try:
            answer = reader.ask("s3", "get_object", Bucket=delivery.bucket, Key=file.key)
        except (PermissionMissing, PlatformRefused, TargetUnknown) as error:
            if is_first and isinstance(error, PermissionMissing):
                raise
            # In an archive, say, or gone meanwhile, which S3 calls denied too: others may be read.
            return {**entry, "lines": [], "not_read": error.summary}
        found = self._sifted(reader, answer, wanted)
        self.left_out += found.left_out
        if not found.names_interfaces and found.lines and delivery.log not in self.unsorted:
            self.unsorted.append(delivery.log)
        entry |= {"etag": answer.get("ETag"), "version": answer.get("VersionId"), "size": found.size}
        entry |= {"sha256": found.sha256, "header": found.header, "lines": found.lines, "left_out": found.left_out}
        entry |= {"not_read": found.problem} if found.problem else {}
        return entry | ({"stopped": found.spent} if found.spent else {})

    def _sifted(self, reader: Scene, answer: Answer, wanted: frozenset[bytes]) -> Sifted:
        with closing(answer["Body"]) as body:
            try:
                with translated(reader.words):
                    return sift(body, wanted, self.allowance, lambda: not self.task.remaining_seconds)
            except (FirebreakError, OSError) as error:
                # Broken off: what came is not known to be whole.
                return Sifted(problem=error.summary if isinstance(error, FirebreakError) else repr(error))

    def _whole_from(self, found: list[Answer]) -> datetime:
        """Since when nothing that was delivered is left out."""
        return min(self.until, found[-1]["time"] + FRAME) if found else self.until

    def _tell_unread(self, delivery: Delivery, found: list[Answer]) -> None:
        unread = [one for one in found if "not_read" in one]
        if unread:
            first = unread[0]
            words = f"{delivery.log}: {len(unread)} files were not read whole, {first['key']}: {first['not_read']}"
            self.draft.cut.append(words)
            self._gap(unread[-1]["time"] - FRAME, min(self.until, first["time"] + FRAME), words)

    def _cut(self, words: str, whole_from: datetime) -> None:
        self.draft.cut.append(words)
        self._gap(self.task.since, whole_from, words)

    def _gap(self, started: datetime, ended: datetime, words: str) -> None:
        self.draft.gaps.append(Gap(started=started, ended=max(started, ended), reason=words))


def _delivery(log: Answer, place: AwsRef) -> Delivery:
    """Where AWS puts the files (VPC guide, "Flow log files").

    Raises:
        LookupError: the destination is no ARN of a bucket.
    """
    bucket, _, inside = str(log["LogDestination"]).split(":", 5)[5].partition("/")
    options = log.get("DestinationOptions") or {}
    hive, hourly = options.get("HiveCompatiblePartitions"), options.get("PerHourPartition")
    root = f"{inside.strip('/')}/AWSLogs/".lstrip("/")
    if hive:
        folder = f"{root}aws-account-id={place.account}/aws-service=vpcflowlogs/aws-region={place.region}/"
        slot = "year=%Y/month=%m/day=%d/" + ("hour=%H/" if hourly else "")
    else:
        folder = f"{root}{place.account}/vpcflowlogs/{place.region}/"
        slot = "%Y/%m/%d/" + ("%H/" if hourly else "")
    name = str(log["FlowLogId"])
    stem = f"{place.account}_vpcflowlogs_{place.region}_{name}_"
    return Delivery(name, bucket, folder, slot, stem, timedelta(hours=1) if hourly else timedelta(days=1))


def _file_of(listed: Answer, prefix: str) -> _File | None:
    stamp = _STAMP.fullmatch(listed["Key"].removeprefix(prefix))
    if stamp is None:
        return None
    try:
        at = datetime.strptime(stamp[1], "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return _File(at, listed["Key"], listed["LastModified"])
