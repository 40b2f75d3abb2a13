"""What the collectors of one order read an account with, and what is set for evidence that stays in it.

Owns the record of every call and the bounds on pages. Never translates what AWS says into anything else: documents hold
its answers as they came.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from pydantic import Field

from activities.aws.attributes import Account
from activities.aws.errors import absent, code_of, translated
from activities.contracts.evidence import Outcome
from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.killswitch.platform import PlatformUnreachable
from segmentation.workloads import AwsRef, Frozen, WorkloadKind

Answer = dict[str, Any]


class Forensics(Frozen):
    """What becomes of snapshots: re-encrypted with a key of yours, and shared with an account that only looks."""

    kms_key: str = Field(default="", description="Key id or ARN; empty: they stay encrypted as their volume is.")
    account: str = Field(default="", pattern=r"^(\d{12})?$", description="Twelve digits; empty: shared with nobody.")


@dataclass(frozen=True)
class Scene:
    """One target of one order, for one collector."""

    account: Account
    place: AwsRef
    kind: WorkloadKind
    forensics: Forensics
    asked: list[str] = field(default_factory=list)

    def reading(self) -> Self:
        """The same for one collector, with a record of its own."""
        return type(self)(self.account, self.place, self.kind, self.forensics)

    def ask(self, service: str, operation: str, **parameters: Any) -> Answer:
        """What AWS answers to one call."""
        self._note(service, operation, parameters)
        with self._translated():
            answer: Answer = getattr(self.account.client(service), operation)(**parameters)
        answer.pop("ResponseMetadata", None)
        return answer

    def ask_if_there(self, service: str, operation: str, *missing: str, **parameters: Any) -> Answer | None:
        """The same; None where AWS says that there is none, in general words or in one of these codes."""
        self._note(service, operation, parameters)
        with self._translated():
            try:
                answer: Answer = getattr(self.account.client(service), operation)(**parameters)
            except ClientError as error:
                if absent(error) or code_of(error) in missing:
                    return None
                raise
        answer.pop("ResponseMetadata", None)
        return answer

    def pages(
        self, draft: Draft, call: tuple[str, str, str], most: int, task: Task | None = None, **parameters: Any
    ) -> list[Any]:
        """At most so many things of a listing: service, operation and the key under which they come.

        Where there are more, or the time budget is spent before the end, the draft says so.
        """
        service, operation, key = call
        self._note(service, operation, parameters)
        found: list[Any] = []
        with self._translated():
            pages = self.account.client(service).get_paginator(operation).paginate(**parameters)
            for page in pages:
                found += page.get(key) or []
                if len(found) > most:
                    draft.cut.append(f"{operation}: more than the first {most}")
                    return found[:most]
                if task is not None:
                    task.tell(f"{operation}: {len(found)}")
                    if not task.remaining_seconds:
                        draft.cut.append(f"{operation}: the time budget was spent after {len(found)}")
                        return found
        return found

    @property
    def words(self) -> str:
        """The target for an error."""
        return f"{self.kind}/{self.place.name}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self.words):
                yield
        except ResponseParserError as error:
            # Of a proxy, say. The SDK does not count it among its own errors.
            said = str(error).partition("\n")[0][:200]
            raise PlatformUnreachable(f"{self.words}: what answers is not AWS: {said}") from error

    def _note(self, service: str, operation: str, parameters: Answer) -> None:
        words = json.dumps(parameters, default=str) if parameters else ""
        line = f"{service} {operation} {words}".rstrip()
        # What is asked again until it is done is one question.
        if line not in self.asked:
            self.asked.append(line)


def not_of(label: str, scene: Scene) -> Found:
    """The item of a collector that has nothing to collect from this kind of target."""
    return Found(label, Outcome(state="missing", reason=f"a target of the kind {scene.kind} has none"))


def instance_of(scene: Scene) -> Answer:
    """The instance as EC2 describes it.

    Raises:
        TargetUnknown: it is not there.
    """
    answer = scene.ask("ec2", "describe_instances", InstanceIds=[scene.place.name])
    found: Answer = answer["Reservations"][0]["Instances"][0]
    return found


def interfaces_of(scene: Scene, draft: Draft) -> list[Answer]:
    """The interfaces of an instance, subnet or security group."""
    names = {"ec2-instance": "attachment.instance-id", "subnet": "subnet-id", "security-group": "group-id"}
    wanted = [{"Name": names[scene.kind], "Values": [scene.place.name]}]
    call = ("ec2", "describe_network_interfaces", "NetworkInterfaces")
    return scene.pages(draft, call, MOST_INTERFACES, Filters=wanted)


MOST_INTERFACES = 200
