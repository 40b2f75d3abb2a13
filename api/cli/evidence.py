"""`firebreak evidence`: list and get, and beside them what is done with evidence and how it is checked.

Every read says why, and is kept in the custody chain.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api
from api.cli.evidence_checks import export, verify
from api.cli.evidence_custody import hold, release, seal, show, timestamp
from api.cli.evidence_views import link, preview, unlink
from api.cli.output import AsJson, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, help="Evidence: what was collected, and whether it still is what it was.")
Id = Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")]
COLUMNS = ("item", "kind", "outcome", "bytes", "sha256", "reason")

for command in (show, preview, verify, export, timestamp, seal, hold, release, link, unlink):
    app.command()(command)


@app.command("list")
def list_(  # noqa: PLR0913 - each is one option
    context: typer.Context,
    incident_id: Annotated[str | None, typer.Argument(help="None: every incident.", metavar="[INCIDENT]")] = None,
    *,
    host: Annotated[str | None, typer.Option(help="Name or id of a host or target.")] = None,
    kind: Annotated[str | None, typer.Option(help="packets, ebpf-events, volatile, logs, ...")] = None,
    outcome: Annotated[str | None, typer.Option(help="collected, empty, missing, failed or truncated.")] = None,
    since: Annotated[str | None, typer.Option(help="Collected then or later, such as 2026-03-04T05:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Collected before.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of an item's id or file name.")] = None,
    tlp: Annotated[str | None, typer.Option(help="CLEAR, GREEN, AMBER, AMBER+STRICT or RED.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List the items of a case, or find some across incidents; absent ones too."""
    wanted = {"host": host, "kind": kind, "outcome": outcome, "since": since, "until": until, "text": text, "tlp": tlp}
    if incident_id is not None and not any(wanted.values()):
        _list_case(context, incident_id, as_json=as_json)
        return
    items = _found(context, wanted | {"incident": incident_id}, limit)
    if as_json:
        print_json({"items": items})
        return
    rows = [(m["case_id"], m["item"]["source"]["host"], *_row(m["item"])) for m in items]
    print_table(("incident", "host", *COLUMNS), rows, empty="Nothing is like that.")


@app.command()
def get(
    context: typer.Context,
    incident_id: Id,
    evidence_id: Annotated[str, typer.Argument(help="Id of the item.", metavar="ITEM")],
    purpose: Annotated[str, typer.Option(help="Why you read it; it is kept.")],
    output: Annotated[Path | None, typer.Option(help="File to write; default: the item's own name.")] = None,
) -> None:
    """Fetch one item and check it against its digest; what broke off goes on where it was."""
    from api.cli.evidence_downloads import download

    target = download(api(context), f"/v1/incidents/{incident_id}/evidence/{evidence_id}", purpose, output)
    say(f"{target}: {target.stat().st_size} bytes, as collected.")


def _list_case(context: typer.Context, incident_id: str, *, as_json: bool) -> None:
    case = api(context).get(f"/v1/incidents/{incident_id}/evidence")
    if as_json:
        print_json(case)
        return
    print_table(COLUMNS, [_row(m["item"]) for m in case["manifests"]], empty="Nothing was collected yet.")


def _found(context: typer.Context, wanted: dict[str, str | None], limit: int) -> list[dict[str, Any]]:
    """Pages until there are enough."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(items) < limit:
        page = api(context).get("/v1/evidence", **wanted, limit=min(200, limit - len(items)), cursor=cursor)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return items


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    outcome = item["outcome"]
    digest = (item["sha256"] or "")[:16]
    return item["evidence_id"], item["kind"], outcome["state"], item["size"], digest, outcome["reason"]
