"""The incident report: one HTML file that needs nothing else, now or in ten years.

Owns rendering and writing it. The page loads nothing, runs nothing, and shows what others wrote as inert
text. The same snapshot and timeline give the same bytes, so that a repeated step is no second report.

    Reports(ledger.incidents, vault.root).render_report(RenderReport(snapshot=snapshot))
    # -> Report(uri="file:///.../case/inc-1/documents/report.html", ...)
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import uuid4

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from temporalio import activity

from activities.contracts.incident import IncidentEvent, IncidentSnapshot, RenderReport, Report
from activities.evidence.vault.layout import case_folder
from activities.report import words
from activities.report.facts import gather
from segmentation.errors import FirebreakError

_HERE = Path(__file__).parent
FILE_NAME = "report.html"


class ReportUnwritable(FirebreakError):
    """The report's folder takes no file; it may later."""

    code: ClassVar[str] = "report-unwritable"
    retryable: ClassVar[bool] = True


class Timelines(Protocol):
    """Where the timeline of an incident is kept."""

    def timeline(self, incident_id: str) -> Sequence[IncidentEvent]:
        """What happened, in the order it was recorded."""


class Reports:
    """Writes reports into the vault's folder of each case."""

    def __init__(self, timelines: Timelines, vault_dir: Path) -> None:
        self._timelines = timelines
        self._vault_dir = vault_dir

    @activity.defn
    def render_report(self, order: RenderReport) -> Report:
        """Render from the snapshot and the ledger's timeline; replaces an earlier report as a whole.

        Raises:
            ReportUnwritable: the folder or the disk takes no file; retryable.
        """
        snapshot = order.snapshot
        content = render(snapshot, self._timelines.timeline(snapshot.incident_id)).encode()
        path = case_folder(self._vault_dir, snapshot.incident_id).absolute() / "documents" / FILE_NAME
        try:
            _replace(path, content)
        except OSError as error:
            raise ReportUnwritable(
                f"The report of {snapshot.incident_id} could not be written to {path}: {error.strerror}.",
                hint="Make room there, or give the worker the right to write.",
            ) from error
        return Report(uri=path.as_uri(), sha256=hashlib.sha256(content).hexdigest(), path=str(path))


def render(snapshot: IncidentSnapshot, timeline: Sequence[IncidentEvent]) -> str:
    """The page as text. Pure: no clock, no network, no file but its template."""
    css = (_HERE / "report.css").read_text(encoding="utf-8")
    style_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        _environment()
        .get_template("template.html.j2")
        .render(
            incident=snapshot,
            timeline=timeline,
            facts=gather(snapshot, timeline),
            # Ours, and hashed: the policy in the page lets exactly this style sheet apply, and no attribute.
            css=Markup(css),  # noqa: S704
            style_hash=style_hash,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": words.clock,
        "day": words.day,
        "stamp": words.stamp,
        "bytes": words.size,
    }
    return environment


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("xb") as file:
            os.fchmod(file.fileno(), 0o400)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
