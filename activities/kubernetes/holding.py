"""Who holds a part of an object that several containments may hold at once: a cordon, the labels of a pod.

Owns the mark: an annotation on the object itself, one for each holder and attribute, with what the part was before us.
It is written in the same patch as the part, so neither is ever there without the other, and two who let go at once
can't both take the other for the last.

    unschedulable.held.firebreak.dev/firebreak-inc-1-0b5c6a7d: "false"
"""

import json

from pydantic import JsonValue

from activities.kubernetes.calls import Raw
from playbooks.change import LET_GO, Setting
from playbooks.kubernetes.marks import HELD


def seen_by(holder: str, setting: Setting, found: Raw, value: JsonValue) -> JsonValue:
    """The part as it counts for a holder: what others alone hold is not set yet, so it is as it was before them."""
    held = holders(found, setting.attribute)
    if setting.shared and value == setting.after and held and holder not in held:
        return setting.before
    return value


def held_by_others(holder: str, found: Raw) -> dict[str, JsonValue]:
    """By attribute what it was before those who hold it, where this one is not among them."""
    held: dict[str, JsonValue] = {}
    for key, text in sorted(_annotations(found).items()):
        attribute, is_mark, _ = key.partition(f".{HELD}")
        if is_mark and holder not in holders(found, attribute):
            try:
                held.setdefault(attribute, json.loads(text))
            except ValueError:
                # Not written by us. Whoever forges a mark keeps something closed; he must not keep us from closing it.
                continue
    return held


def holders(found: Raw, attribute: str) -> tuple[str, ...]:
    """Who holds an attribute."""
    start = f"{attribute}.{HELD}"
    return tuple(sorted(key.removeprefix(start) for key in _annotations(found) if key.startswith(start)))


def others(holder: str, setting: Setting, found: Raw) -> tuple[str, ...]:
    """Who holds a setting beside this one."""
    return tuple(name for name in holders(found, setting.attribute) if name != holder)


def mark(holder: str, setting: Setting, found: Raw, value: JsonValue) -> Raw:
    """What a written value changes of the annotations: ours comes with what we want, and goes with anything else."""
    key = f"{setting.attribute}.{HELD}{holder}"
    if value == setting.after:
        return {key: json.dumps(setting.before, sort_keys=True)}
    return {key: None} if key in _annotations(found) else {}


def stays(holder: str, setting: Setting, found: Raw, value: JsonValue) -> bool:
    """Whether the part itself is left as it is: it is only let go, or others hold it."""
    return value == LET_GO or (value != setting.after and bool(others(holder, setting, found)))


def _annotations(found: Raw) -> Raw:
    annotations: Raw = found["metadata"].get("annotations") or {}
    return annotations
