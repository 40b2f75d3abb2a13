"""A preview as one HTML page that needs nothing else.

Owns rendering. The page loads nothing and runs nothing; its only form asks the same address again. What stands in the
item is text of strangers, escaped by the template and inert before it came here.

    render(PreviewPage(manifest=..., document=..., ...))     # -> "<!doctype html>..."
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from markupsafe import Markup

from activities.contracts.custody import Manifest
from activities.evidence.preview.documents import Content, EventsPreview, Node, PacketsPreview, PreviewOfItem
from activities.evidence.preview.events import KINDS
from activities.evidence.preview.plots import Plot, plot
from activities.report import words
from activities.report.facts import losses
from activities.report.page import environment, style_hash

_HERE = Path(__file__).parent
_REPORT_CSS = Path(words.__file__).parent / "report.css"
_OPEN_DEPTH = 2
_OPEN_CHILDREN = 30


@dataclass(frozen=True)
class PreviewPage:
    """What a page is made of. `keep` are the query's other parts, which searching and paging repeat."""

    manifest: Manifest
    document: PreviewOfItem
    cut_at: datetime | None = None
    q: str = ""
    keep: dict[str, str] = field(default_factory=dict)


def policy() -> str:
    """The Content-Security-Policy of every page: exactly this style sheet, and a search that asks us again."""
    return (
        f"default-src 'none'; style-src 'sha256-{_style_hash()}'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; sandbox allow-forms"
    )


def render(page: PreviewPage) -> str:
    """The page as text. Pure: no clock, no network, no file but its template and styles."""
    item, content = page.manifest.item, page.document.preview.content
    return (
        environment(_HERE)
        .get_template("page.html.j2")
        .render(
            manifest=page.manifest,
            item=item,
            document=page.document,
            preview=content,
            notes=page.document.preview.notes,
            plots=_plots(content, page.cut_at),
            losses=losses(item.acquisition),
            cut_at=page.cut_at,
            q=page.q,
            keep=page.keep,
            href=lambda number: "?" + urlencode(page.keep | {"q": page.q, "page": str(number)}),
            tree=Markup("").join(_tree(content.nodes)) if content.form == "tree" else "",
            # Ours, and hashed: the policy lets exactly this style sheet apply, and no attribute.
            css=Markup(_css()),  # noqa: S704
            style_hash=_style_hash(),
        )
    )


def _plots(content: Content, cut_at: datetime | None) -> tuple[tuple[str, Plot], ...]:
    if not isinstance(content, (PacketsPreview, EventsPreview)) or content.series is None:
        return ()
    if isinstance(content, EventsPreview):
        return (("Events", plot(content.series, tuple(range(len(KINDS))), cut_at)),)
    return tuple((name, plot(content.series, (place,), cut_at)) for place, name in enumerate(("Packets", "Bytes")))


def _tree(nodes: tuple[Node, ...]) -> list[Markup]:
    """Nodes in document order as nested elements; never recurses, so that depth costs nothing."""
    parts, open_depths = list[Markup](), list[int]()
    branch = Markup("<details{}><summary><b>{}</b> <span class=quiet>{}</span></summary><div class=inside>")
    leaf = Markup('<p class="leaf"><b>{}</b> <code>{}</code></p>')
    for node in nodes:
        while open_depths and open_depths[-1] >= node.depth:
            parts.append(Markup("</div></details>"))
            open_depths.pop()
        label, value = words.visible(node.label), words.visible(node.value)
        if node.children is None:
            parts.append(leaf.format(label, value))
            continue
        opened = node.depth < _OPEN_DEPTH or (node.children <= _OPEN_CHILDREN and node.depth <= _OPEN_DEPTH)
        inside = f"{node.children:,} inside" if node.children else "empty"
        parts.append(branch.format(Markup(" open") if opened else "", label or "document", inside))
        open_depths.append(node.depth)
    return [*parts, Markup("</div></details>") * len(open_depths)]


@cache
def _css() -> str:
    own = (_HERE / "preview.css").read_text(encoding="utf-8")
    return _REPORT_CSS.read_text(encoding="utf-8") + own


@cache
def _style_hash() -> str:
    return style_hash(_css())
