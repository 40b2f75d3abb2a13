"""How one attribute of an AWS resource is read and written.

Owns the shape that `activities.aws.platform` looks up by the resource's kind and the attribute's name, and the
permissions that stand beside each. Which attributes there are is owned by the modules that define them.

    ATTRIBUTES = {("network-interface", "groups"): Attribute(read=..., write=..., permissions=("ec2:...",))}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import JsonValue

from activities.killswitch.platform import Moment

# The tag by which what we made, and the sessions in which we made it, tell their incident.
INCIDENT_TAG = "firebreak:incident"


Answer = TypeVar("Answer")


class Account(Protocol):
    """One account and region, opened for one incident by an assumed role."""

    @property
    def incident_id(self) -> str:
        """The incident whose session this is."""

    @property
    def account(self) -> str:
        """The account's twelve digits."""

    @property
    def region(self) -> str:
        """The region its regional services are called in."""

    def client(self, service: str) -> Any:
        """The boto3 client of a service, with this incident's session; made once."""

    def ask(self, question: "Question[Answer]", about: str) -> Answer | None:
        """What AWS says about one thing; others who ask the same meanwhile may share the call."""

    @property
    def notes(self) -> dict[str, str]:
        """What a read learnt that the write after it needs, while this account is open: never a proof of anything."""


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """What can be asked about several things in one call.

    `ask` takes at most `most` of them, and leaves out those that AWS does not know. Where `most` is 1, only those who
    ask about the same thing share a call.
    """

    name: str
    ask: Callable[[Account, list[str]], Mapping[str, Answer]]
    # EC2 takes up to 200 values in a filter (EC2 API, "Filter").
    most: int = 100


@dataclass(frozen=True)
class Attribute:
    """Reads and writes one attribute; `name` is the resource without its kind: `eni-1` of `network-interface/eni-1`.

    An attribute whose name goes on after a dot is registered under the part before it, and gets the rest behind the
    name: `key.AKIA1` of `iam-user/alice` is registered as ("iam-user", "key") and read with the name `alice/AKIA1`.
    Errors of botocore are left as they are: the platform names and translates them.
    """

    read: Callable[[Account, str], JsonValue]
    write: Callable[[Account, str, JsonValue, Moment], None]
    permissions: tuple[str, ...]
    refusal: Callable[[Account, str, JsonValue], str] | None = None


Attributes = Mapping[tuple[str, str], Attribute]
