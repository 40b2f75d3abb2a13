"""How one attribute of an AWS resource is read and written.

Owns the shape that `activities.aws.platform` looks up by the resource's kind and the attribute's name, and the
permissions that stand beside each. Which attributes there are is owned by the modules that define them.

    ATTRIBUTES = {("network-interface", "groups"): Attribute(read=..., write=..., permissions=("ec2:...",))}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import JsonValue

from activities.killswitch.platform import Moment


class Account(Protocol):
    """One account and region, opened for one incident by an assumed role."""

    incident_id: str
    account: str
    region: str

    def client(self, service: str) -> Any:
        """The boto3 client of a service, with this incident's session; made once."""


@dataclass(frozen=True)
class Attribute:
    """Reads and writes one attribute; `name` is the resource without its kind: `eni-1` of `network-interface/eni-1`.

    Errors of botocore are left as they are: the platform names and translates them.
    """

    read: Callable[[Account, str], JsonValue]
    write: Callable[[Account, str, JsonValue, Moment], None]
    permissions: tuple[str, ...]
    refusal: Callable[[Account, str, JsonValue], str] | None = None


Attributes = Mapping[tuple[str, str], Attribute]
