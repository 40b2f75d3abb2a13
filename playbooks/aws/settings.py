"""Settings of AWS targets where one is needed. Pure.

Owns the rule that what stands already is not set again, so that a plan of an applied state is empty. Which settings a
target has is its planner's to know.

    needed(setting("iam-user/eve", "status", Values(now="Active", before="Active", after="Inactive"), words, actions))
"""

from typing import Any, NamedTuple

from pydantic import JsonValue

from playbooks.change import Setting
from playbooks.platform_intent import PlatformIntent


class Values(NamedTuple):
    """What is there now, what release restores (not always the same: ours may stand already), and what is wanted."""

    now: JsonValue
    before: JsonValue
    after: JsonValue


def setting(resource: str, attribute: str, values: Values, words: str, permissions: tuple[str, ...]) -> Setting | None:
    """The setting; None where what is wanted is there already."""
    if values.now == values.after:
        return None
    return Setting(
        resource=resource,
        attribute=attribute,
        before=values.before,
        after=values.after,
        words=words,
        permissions=permissions,
    )


def needed(*settings: Setting | None) -> tuple[Setting, ...]:
    """Those that are there, in their order."""
    return tuple(each for each in settings if each is not None)


def incident(intent: PlatformIntent) -> dict[str, Any]:
    """What every change of an AWS target says of its incident and lease."""
    return {
        "incident_id": intent.incident_id,
        "target_id": intent.target_id,
        "platform": "aws",
        "lease_seconds": intent.lease_seconds,
        "ends": intent.ends,
    }
