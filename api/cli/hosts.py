"""`firebreak hosts` and `firebreak join-token`."""

from typing import Annotated

import typer

from api.cli.client import api
from api.cli.output import AsJson, moment, print_json, print_table, say

app = typer.Typer(no_args_is_help=True, help="Hosts that have joined.")
join_token = typer.Typer(no_args_is_help=True, help="Tokens by which hosts join.")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List hosts."""
    entries = api(context).get("/v1/hosts")
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            w["name"],
            w["workload_id"],
            " ".join(w["addresses"]),
            moment(e["joined_at"]),
            moment(e["last_seen"]),
        )
        for e in entries
        for w in [e["workload"]]
    ]
    print_table(("name", "id", "addresses", "joined (UTC)", "last heard"), rows, empty="No host has joined.")


@app.command()
def forget(
    context: typer.Context,
    host_id: Annotated[str, typer.Argument(help="Id of the host.")],
    as_json: AsJson = False,
) -> None:
    """Drop a host and its pinned key, so that it can join anew."""
    api(context).delete(f"/v1/hosts/{host_id}")
    if as_json:
        print_json({"host_id": host_id, "status": "forgotten"})
        return
    say(f"{host_id} is forgotten.")


@join_token.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    hours: Annotated[float, typer.Option(min=0.02, max=720, help="How long it lets hosts in.")] = 1.0,
    uses: Annotated[int, typer.Option(min=0, help="How many hosts; 0: any number.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make a join token; it is shown this once."""
    body = {"name": name, "lifetime_seconds": round(hours * 3600), "uses": uses or None}
    made = api(context).post("/v1/join-tokens", body)
    if as_json:
        print_json(made)
        return
    typer.echo(made["token"])
    say(f"Valid until {moment(made['expires_at'])} UTC: firebreak agent --join URL --token-file FILE")


@join_token.callback()
def _group() -> None:
    """Keeps `create` a command of its own: Typer folds a group of one."""
