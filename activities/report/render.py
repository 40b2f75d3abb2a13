"""The incident report: one HTML file that needs nothing else, now or in ten years.

Owns rendering and writing it. The page loads nothing, runs nothing, and shows what others wrote as inert
text. The same snapshot and timeline give the same bytes, so that a repeated step is no second report.

    Reports(ledger.incidents, vault).render_report(RenderReport(snapshot=snapshot))
    # -> Report(uri="file:///.../case/inc-1/documents/report-4f0c1d2e3a4b.html", ...)
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from markupsafe import Markup
from temporalio import activity

from activities.contracts.custody import SealRef
from activities.contracts.incident import IncidentEvent, IncidentSnapshot, RenderReport, Report
from activities.evidence.vault.interface import Vault
from activities.report.facts import gather
from activities.report.page import environment, style_hash

_HERE = Path(__file__).parent
_DIGITS = 12


class Timelines(Protocol):
    """Where the timeline of an incident is kept."""

    def timeline(self, incident_id: str) -> Sequence[IncidentEvent]:
        """What happened, in the order it was recorded."""


class Reports:
    """Puts reports beside the evidence of their case."""

    def __init__(self, timelines: Timelines, vault: Vault) -> None:
        self._timelines, self._vault = timelines, vault

    @activity.defn
    def render_report(self, order: RenderReport) -> Report:
        """Render from the snapshot and the ledger's timeline; an earlier report stays, since a seal may name it.

        Raises:
            VaultUnavailable: the vault takes no document now.
        """
        snapshot = order.snapshot
        content = render(snapshot, self._timelines.timeline(snapshot.incident_id), order.seal).encode()
        digest = hashlib.sha256(content).hexdigest()
        name = f"report-{digest[:_DIGITS]}.html"
        uri = self._vault.put_document(snapshot.incident_id, "documents", name, content)
        return Report(uri=uri, sha256=digest, path=f"documents/{name}")


def render(snapshot: IncidentSnapshot, timeline: Sequence[IncidentEvent], seal: SealRef | None = None) -> str:
    """The page as text. Pure: no clock, no network, no file but its template."""
    css = (_HERE / "report.css").read_text(encoding="utf-8")
    return (
        environment(_HERE)
        .get_template("template.html.j2")
        .render(
            incident=snapshot,
            timeline=timeline,
            facts=gather(snapshot, timeline),
            seal=seal,
            # Ours, and hashed: the policy in the page lets exactly this style sheet apply, and no attribute.
            css=Markup(css),  # noqa: S704
            style_hash=style_hash(css),
        )
    )
