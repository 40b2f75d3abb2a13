"""What a run of the demo measured.

Owns the shape of `summary.json`, and what a run must have shown. Never invents a figure: what was not measured is None.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from lab.captures import CaptureFigures
from segmentation.workloads import Frozen

Result = Literal["cut", "open", "unknown"]


class Cut(Frozen):
    """What packets said, by kind of traffic."""

    new: Result
    established: Result
    ipv6: Result


class EvidenceFigures(Frozen):
    """What was collected."""

    items: int
    verified: int
    packets: int
    packets_dropped: int
    ebpf_events: int
    captures: CaptureFigures


class Summary(Frozen):
    """The figures of one run; times in milliseconds."""

    time_to_contain_ms: float = Field(description="Webhook sent -> first packet of the intruder that was blocked.")
    durable_floor_ms: float = Field(description="Eager start -> one empty activity on an agent's queue; median of 20.")
    hops_ms: dict[str, float] = Field(description="Where the time to contain went.")
    prober_packets_per_second: float
    cut: Cut
    lifeline: str
    bystanders: str
    proof: str
    evidence: EvidenceFigures
    intruder_ended: bool
    released: bool
    restored: bool
    report: str
    incident: str
    seconds: float = Field(description="From the first packet of the lab to the report.")

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def shortcomings(summary: Summary) -> list[str]:
    """What the demo claims and this run did not show."""
    claims = {
        "every kind of traffic is cut": set(summary.cut.model_dump().values()) == {"cut"},
        "the containment is proven by peers": summary.proof == "effective",
        "the lifeline lives": summary.lifeline == "open",
        "bystanders are not disturbed": summary.bystanders == "open",
        "every item of evidence verifies": 0 < summary.evidence.items == summary.evidence.verified,
        "packets were captured": summary.evidence.packets > 0,
        "every capture agrees with its manifest": 0
        < summary.evidence.captures.captures
        == summary.evidence.captures.agreeing,
        "the intruder was captured before the cut": summary.evidence.captures.before_the_cut > 0,
        "eBPF events were recorded": summary.evidence.ebpf_events > 0,
        "the intruder was ended": summary.intruder_ended,
        "the isolation was released": summary.released,
        "the ruleset is the one before": summary.restored,
    }
    return [claim for claim, seen in claims.items() if not seen]
