"""Inline policies on a role or a user: read and written.

Owns the calls. Never decides what a policy says or how it is called; its name derives from the incident, so nobody
else's is ever written.

    ROLE.read(account, "deployer/firebreak-inc-1")   # -> the document with placeholders for its times, or None
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from botocore.exceptions import ClientError
from pydantic import JsonValue

from activities.aws import identity_documents as documents
from activities.aws.attributes import Account
from activities.aws.errors import absent
from activities.killswitch.platform import Moment

T = TypeVar("T")


def unless_absent(call: Callable[[], T]) -> T | None:
    """What the call answers; None where IAM says that there is no such thing."""
    try:
        return call()
    except ClientError as error:
        if absent(error):
            return None
        raise


@dataclass(frozen=True)
class InlinePolicy:
    """The inline policies of one kind of identity; a `name` is the identity's and the policy's with a slash between."""

    kind: Literal["role", "user"]

    def read(self, account: Account, name: str) -> JsonValue:
        """The document, with placeholders for its times; None if there is none."""
        document: JsonValue = documents.read(self._standing(account, name))
        return document

    def write(self, account: Account, name: str, value: JsonValue, moment: Moment) -> None:
        """Put the document, or delete it where it is None."""
        if value is None:
            unless_absent(lambda: self._call("delete", account, name))
            return
        text = documents.written(value, self._standing(account, name), moment)
        self._call("put", account, name, PolicyDocument=text)

    def _standing(self, account: Account, name: str) -> Any:
        answer = unless_absent(lambda: self._call("get", account, name))
        return answer["PolicyDocument"] if answer else None

    def _call(self, verb: str, account: Account, name: str, **more: str) -> Any:
        owner, _, policy = name.partition("/")
        call = getattr(account.client("iam"), f"{verb}_{self.kind}_policy")
        return call(**{f"{self.kind.title()}Name": owner, "PolicyName": policy}, **more)


ROLE = InlinePolicy("role")
USER = InlinePolicy("user")
