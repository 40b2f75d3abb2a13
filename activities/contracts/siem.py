"""Inputs and results of the activities that ask the SIEM on their own: running detections.

Pure shapes. What the SIEM is asked about one incident is in `activities.contracts.incident`.
"""

from typing import Literal

from pydantic import AwareDatetime, Field, IPvAnyAddress

from segmentation.workloads import Frozen, Name


class RunDetections(Frozen):
    """run_detections: query for each detection, post each finding as a signed webhook.

    `at` is when the run was due, not when it got its turn: a retry looks at the same stretch of time and
    gives its messages the same ids.
    """

    at: AwareDatetime
    names: tuple[Name, ...] = Field(default=(), description="Only these detections; empty: all.")


class SentFinding(Frozen):
    """One finding and what the intake made of it."""

    detection: Name
    webhook_id: str
    source: IPvAnyAddress
    destination: IPvAnyAddress
    count: int = Field(description="Denials in the window.")
    sent_at: AwareDatetime = Field(description="Just before the request left.")
    answer: Literal["accepted", "known"] = Field(description="`known`: the intake had this message already.")


class DetectionsRun(Frozen):
    """What one run found. A query or message that failed fails the activity instead."""

    findings: tuple[SentFinding, ...] = ()
    left_out: int = Field(default=0, description="Weaker findings over the bound of one run; not posted.")
    without_index: tuple[Name, ...] = Field(
        default=(), description="Detections whose index does not exist (yet): nothing was ever shipped to it."
    )
