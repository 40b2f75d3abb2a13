"""What marks our own objects and the pods, nodes and accounts we touched.

Owns the labels and the names. A name derives from the incident and the target: two targets of one incident share no
object, so that releasing one never opens the other.

    object_name("inc-4f1e", "shop.web-1")   # -> "firebreak-inc-4f1e-0b5c6a7d"
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from playbooks.canonical import digest
from playbooks.platform_intent import PlatformIntent, mark
from segmentation.errors import FirebreakError

PREFIX = "firebreak.dev/"
QUARANTINE = "firebreak.dev/quarantine"
HELD = "held.firebreak.dev/"
INCIDENT = "firebreak.dev/incident"
FIELD_MANAGER = "firebreak"
_LONGEST_LABEL_VALUE = 63
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class NameUnfit(FirebreakError):
    """An incident whose id can't be written into a label and a name of Kubernetes."""

    code: ClassVar[str] = "name-unfit"


def object_name(incident_id: str, target_id: str) -> str:
    """The name of our objects for one target of one incident.

    Raises:
        NameUnfit: the API server would refuse it.
    """
    name = f"{mark(incident_id)}-{digest([target_id]).removeprefix('sha256:')[:8]}"
    if len(incident_id) > _LONGEST_LABEL_VALUE or not _OBJECT_NAME.fullmatch(name):
        raise NameUnfit(
            f"Incident id {incident_id!r} makes {name!r}, which no object of Kubernetes can be called.",
            hint="Ids of at most 40 letters, digits and dashes fit.",
        )
    return name


def name_of(intent: PlatformIntent) -> str:
    """The name of our objects for this intent."""
    return object_name(intent.incident_id, intent.target_id)


def quarantine(incident_id: str) -> dict[str, str]:
    """The label by which our policies select."""
    return {QUARANTINE: incident_id}


def marked(incident_id: str) -> dict[str, str]:
    """The labels of every object of ours."""
    return {INCIDENT: incident_id}


def holder(labels: Mapping[str, str], incident_id: str) -> str:
    """The other incident that holds what carries these labels; empty: none."""
    held = labels.get(QUARANTINE, "")
    return "" if held == incident_id else held


def maker(labels: Mapping[str, str], incident_id: str) -> str:
    """The other incident that made the object with these labels; empty: none, or ours."""
    made = labels.get(INCIDENT, "")
    return "" if made == incident_id else made
