"""Statements that deny, and who they belong to. Pure.

Owns how a deny statement of ours is built, marked, added to a document and taken out of it again, and what is said of
its end. Never reads or writes a policy.

    document = denial_document(denial(intent))
    with_statement(bucket_policy, denial(intent, Principal="*", ...))   # everything that was there, and ours
"""

import json
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from playbooks.change import APPLIED_AT, LEASE_UNTIL
from playbooks.platform_intent import PlatformIntent, TargetHeld, mark
from segmentation.errors import FirebreakError

Document = dict[str, Any]
VERSION = "2012-10-17"
ISSUED = "aws:TokenIssueTime"
NOW = "aws:CurrentTime"
OURS = "firebreak-inc-"


class WouldLockOut(FirebreakError):
    """The target is what we act with: contained, it could not be released by us any more."""

    code: ClassVar[str] = "would-lock-out"


def sid(incident_id: str) -> str:
    """The mark of our statements. IAM's grammar allows a Sid nothing but letters and digits."""
    return "".join(re.findall(r"[A-Za-z0-9]+", mark(incident_id).replace("firebreak", "Firebreak", 1)))


def quarantine_name(incident_id: str) -> str:
    """Name of the policy that denies a role everything; beside the one that denies its sessions, never instead."""
    return f"{mark(incident_id)}-quarantine"


def denial(intent: PlatformIntent, *, sessions_only: bool = False, **more: Any) -> Document:
    """A statement that denies: everything, or what was signed with sessions issued before it was written.

    With a lease that ends open it carries the lease's end, so that AWS itself stops to deny when nobody renews. Several
    keys under one condition operator must all hold.
    """
    times = {ISSUED: APPLIED_AT} if sessions_only else {}
    if intent.ends == "open":
        times[NOW] = LEASE_UNTIL
    condition = more.pop("Condition", {}) | ({"DateLessThan": times} if times else {})
    statement = {"Sid": sid(intent.incident_id), "Effect": "Deny", "Action": "*", "Resource": "*"} | more
    return statement | ({"Condition": condition} if condition else {})


def denial_document(statement: Document) -> Document:
    """A document of one statement."""
    return {"Version": VERSION, "Statement": [statement]}


def statements_of(document: object) -> list[Document]:
    """The statements of a document; IAM lets a single one stand without a list."""
    found = document.get("Statement", []) if isinstance(document, dict) else []
    return list(found) if isinstance(found, list) else [found]


def with_statement(document: object, ours: Document) -> Document:
    """The document with our statement last; everything else in it stays as it is."""
    if not isinstance(document, dict):
        return denial_document(ours)
    others = [statement for statement in statements_of(document) if statement.get("Sid") != ours["Sid"]]
    return document | {"Statement": [*others, ours]}


def without_statement(document: object, incident_id: str) -> Any:
    """The document without our statement: None if there is nothing else in it, the same if ours is not there."""
    everything, mine = statements_of(document), sid(incident_id)
    others = [statement for statement in everything if statement.get("Sid") != mine]
    if not isinstance(document, dict) or len(others) == len(everything):
        return document
    return document | {"Statement": others} if others else None


def length(document: object) -> int:
    """Bytes of a document as it will be written: without white space, with times for their placeholders."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for placeholder in (APPLIED_AT, LEASE_UNTIL):
        text = text.replace(placeholder, "2000-01-01T00:00:00Z")
    return len(text.encode())


def fragile(document: object) -> str:
    """AWS shows a deleted principal by its unique id, and may refuse a document that names one when it is written."""
    gone = sorted(set(re.findall(r'"(A(?:ID|RO)A[A-Z0-9]{12,})"', json.dumps(document))))
    return f"; it names {', '.join(gone)}, deleted, so that AWS may refuse to have it written again" if gone else ""


def refuse_held(target: str, names: Iterable[str], incident_id: str) -> None:
    """Say so if a policy or statement of another incident is there already.

    Raises:
        TargetHeld: with the incident that holds it.
    """
    own, every = {mark(incident_id), sid(incident_id)}, (OURS, sid("inc-"))
    found = [name for name in names if name.startswith(every) and name not in own]
    others = sorted(name for name in found if not name.startswith(f"{mark(incident_id)}-"))
    if others:
        raise TargetHeld(
            f"{target} is contained by another incident already: {others[0]} is on it.",
            hint="Release it there first, or respond to it in that incident.",
        )


def end_in_words(intent: PlatformIntent, *, stays: str = "") -> str:
    """What ends the denial if every process of ours is dead."""
    if intent.ends == "closed":
        return "nothing ends it: the policy denies until somebody takes it back"
    words = "AWS itself stops to deny at the end of the lease, whose time stands in the policy"
    return f"{words}; {stays}" if stays else words
