"""How a page of ours is made: one HTML file that needs nothing else.

Owns that templates escape what others wrote and make it inert, and how a page's policy names its own style sheet. Knows
no page.

    environment(folder).get_template("template.html.j2").render(css=css, style_hash=style_hash(css))
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from activities.report import words


@cache
def environment(folder: Path) -> Environment:
    """The templates of a folder, with the words that pages write moments, spans and sizes in."""
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clock": words.clock,
        "day": words.day,
        "stamp": words.stamp,
        "bytes": words.size,
        "span": words.span,
    }
    return made


def style_hash(css: str) -> str:
    """What a Content-Security-Policy names exactly this style sheet by: its SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
