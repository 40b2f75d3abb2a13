"""`firebreak contain`: plan, ask for, let go of one target, wherever it runs."""

from typing import Annotated, Any

import typer

from api.cli.client import api
from api.cli.output import AsJson, out, plain, print_json, say

app = typer.Typer(
    invoke_without_command=True,
    help="Contain one target wherever it runs: a host by name, k8s:CLUSTER/NAMESPACE/pod/NAME, "
    "aws:ACCOUNT/REGION/instance/ID.",
)
Target = Annotated[str, typer.Argument(help="web, k8s:prod/shop/pod/web-5d9, aws:123456789012/eu-west-1/role/app")]


@app.callback()
def contain(
    context: typer.Context,
    on: Annotated[list[str] | None, typer.Option("--on", help="Ask for its containment; may be repeated.")] = None,
    off: Annotated[str | None, typer.Option("--off", help="Let it go.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask for a containment (somebody else approves it), or let a target go."""
    if context.invoked_subcommand is not None:
        return
    if bool(on) == bool(off):
        raise typer.BadParameter("name a target with --on or with --off, or see its plan: contain plan TARGET")
    if not reason:
        raise typer.BadParameter("say why, with --reason: it is kept")
    if on:
        asked = api(context).post("/v1/containments", {"targets": on, "reason": reason})
        words = f"Asked for in {asked['incident_id']}; firebreak incidents watch {asked['incident_id']} shows it."
        _tell(asked, words, as_json=as_json)
        return
    gone = api(context).post("/v1/containments/release", {"target": off, "reason": reason})
    _tell(gone, f"{off} was let go by {', '.join(gone['incidents'])}.", as_json=as_json)


@app.command("plan")
def plan(context: typer.Context, target: Target, as_json: AsJson = False) -> None:
    """Show what would be done: what changes, what it cuts, what stays, what it needs, and the way back."""
    document = api(context).post("/v1/plans", {"target": target})
    if as_json:
        print_json(document)
        return
    for line in _lines(document):
        out.print(plain(line))


def _lines(document: dict[str, Any]) -> list[str]:
    change, inverse = document["change"], document["inverse"]
    steps = document["summary"] or ["nothing: this stands already"]
    back = [setting["words"] for setting in inverse.get("settings", [])] or list(inverse.get("summary", []))
    refusals = document["refusals"]
    return [
        f"Plan for {document['target']['name']} ({document['target']['kind']})",
        *(f"  {number:>2}. {step}" for number, step in enumerate(steps, 1)),
        "Way back",
        *(f"   - {step}" for step in back),
        f"Needs: {', '.join(document['permissions']) or 'nothing'}",
        "The platform's own dry run " + ("says nothing against it" if not refusals else "refuses:"),
        *(f"   ! {words}" for words in refusals),
        *(f"   ? {words}" for words in document["warnings"]),
        f"Plan hash {document['plan_hash']}  (of this preview; a gate shows its own)",
        *([f"Mechanism: {change['mechanism']}"] if "mechanism" in change else []),
    ]


def _tell(document: Any, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        say(words)
