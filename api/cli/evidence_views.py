"""`firebreak evidence preview|link|unlink`: looking at an item, and letting others have it for minutes.

Owns the commands. What a preview shows and what a link allows is the API's.
"""

from pathlib import Path
from typing import Annotated

import typer

from api.cli.client import api
from api.cli.evidence_checks import EvidenceBroken
from api.cli.output import AsJson, print_json, say

Incident = Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")]
Item = Annotated[str, typer.Argument(help="Id of the item.", metavar="ITEM")]
Why = Annotated[str, typer.Option("--purpose", help="Why you read it; it is kept.")]


def preview(  # noqa: PLR0913 - each is one option
    context: typer.Context,
    incident_id: Incident,
    evidence_id: Item,
    *,
    purpose: Why,
    search: Annotated[str, typer.Option(help="Part of a line, an event, an entry.")] = "",
    page: Annotated[int, typer.Option(min=1)] = 1,
    output: Annotated[Path | None, typer.Option(help="Page to write; default: ITEM.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at one item: a page that needs nothing else, or JSON."""
    path = f"/v1/incidents/{incident_id}/evidence/{evidence_id}/preview"
    if as_json:
        print_json(api(context).get(path, purpose=purpose, q=search, page=page, format="json"))
        return
    target = output or Path(f"{evidence_id}.html")
    with api(context).stream(path, purpose=purpose, q=search, page=str(page)) as response:
        content = response.read()
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise EvidenceBroken(f"There is a file {target} already.", hint="Name another with --output.") from error
    say(f"{target}: open it in a browser; it loads nothing and runs nothing.")


def link(  # noqa: PLR0913 - each is one option
    context: typer.Context,
    incident_id: Incident,
    evidence_id: Item,
    *,
    purpose: Why,
    minutes: Annotated[int, typer.Option(min=1, max=60, help="How long it is good.")] = 15,
    single_use: Annotated[bool, typer.Option("--single-use", help="Good for one request.")] = False,
    to_preview: Annotated[bool, typer.Option("--preview", help="To the page about it, not the item itself.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a link for somebody without a token."""
    body = {"purpose": purpose, "minutes": minutes, "single_use": single_use}
    body |= {"view": "preview" if to_preview else "bytes"}
    made = api(context).post(f"/v1/incidents/{incident_id}/evidence/{evidence_id}/links", body)
    if as_json:
        print_json(made)
        return
    say(f"{made['link_id']}, until {made['expires_at']}:")
    print(made["url"])


def unlink(
    context: typer.Context,
    incident_id: Incident,
    evidence_id: Item,
    link_id: Annotated[str, typer.Argument(help="Id of the link.", metavar="LINK")],
) -> None:
    """Take a link back at once."""
    api(context).delete(f"/v1/incidents/{incident_id}/evidence/{evidence_id}/links/{link_id}")
    say(f"{link_id} is over.")
