"""`firebreak token` and `firebreak source`: who may ask, who may send.

Works on the state directory of this node; a running API sees a change with its next request.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from api.cli.client import client_settings
from api.cli.output import AsJson, moment, print_json, print_table, say
from api.sources import Sources
from api.tokens import Tokens
from playbooks.gates import Role

token = typer.Typer(no_args_is_help=True, help="Bearer tokens of people and programs.")
source = typer.Typer(no_args_is_help=True, help="Webhook sources: who may send alerts.")
Name = Annotated[str, typer.Argument(help="Name; records carry it.")]
StateDir = Annotated[Path | None, typer.Option(help="State directory of this node.")]


class RoleName(StrEnum):
    """The roles, as the command line takes them."""

    viewer = "viewer"
    responder = "responder"
    approver = "approver"
    admin = "admin"
    break_glass = "break-glass"


@token.command("create")
def create_token(
    context: typer.Context,
    name: Name,
    role: Annotated[list[RoleName], typer.Option(help="Includes the lower ones; break-glass stands apart.")],
    days: Annotated[int | None, typer.Option(min=1, help="When it ends; default: never.")] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; it is shown this once."""
    lifetime = timedelta(days=days) if days else None
    chosen = {name.value for name in role}
    roles: tuple[Role, ...] = tuple(known for known in get_args(Role) if known in chosen)
    made = Tokens(_state(context, state_dir)).create(name, roles, lifetime)
    if as_json:
        print_json({"name": name, "roles": roles, "token": made.token})
        return
    typer.echo(made.token)
    say(f"{name}: {', '.join(roles)}. It is not kept anywhere: FIREBREAK_TOKEN=...")


@token.command("list")
def list_tokens(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List tokens; the tokens themselves are not kept."""
    entries = [entry.model_dump(mode="json") for entry in Tokens(_state(context, state_dir)).entries()]
    if as_json:
        print_json([{key: value for key, value in entry.items() if key != "sha256"} for entry in entries])
        return
    rows = [(e["name"], ", ".join(e["roles"]), moment(e["created"]), moment(e["expires"]) or "never") for e in entries]
    print_table(
        ("name", "roles", "made (UTC)", "ends"),
        rows,
        empty="No tokens: firebreak token create NAME --role ROLE",
    )


@token.command("revoke")
def revoke_token(context: typer.Context, name: Name, state_dir: StateDir = None) -> None:
    """End a token at once."""
    Tokens(_state(context, state_dir)).revoke(name)
    say(f"The token of {name} is revoked.")


@source.command("add")
def add_source(
    context: typer.Context,
    name: Name,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="It can't sign: give it a bearer token.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a source send alerts; its secret is shown this once."""
    made = Sources(_state(context, state_dir)).add(name, signed=not unsigned)
    _show_source(made.model_dump(mode="json"), as_json=as_json)


@source.command("rotate")
def rotate_source(context: typer.Context, name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Give a source a new secret; the one before counts until the next rotation."""
    _show_source(Sources(_state(context, state_dir)).rotate(name).model_dump(mode="json"), as_json=as_json)


@source.command("list")
def list_sources(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List sources, without their secrets."""
    found = Sources(_state(context, state_dir)).entries()
    entries = [
        {"name": s.name, "signed": s.signed, "secrets": len(s.secrets), "rate_per_second": s.rate_per_second}
        for s in found
    ]
    if as_json:
        print_json(entries)
        return
    rows = [
        (e["name"], "signature" if e["signed"] else "bearer token", e["secrets"], e["rate_per_second"]) for e in entries
    ]
    print_table(
        ("name", "proves itself by", "secrets", "alerts/s"),
        rows,
        empty="No sources: firebreak source add NAME",
    )


def _state(context: typer.Context, state_dir: Path | None) -> Path:
    return client_settings(context, state_dir=state_dir).state_dir


def _show_source(made: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    typer.echo(made["secret"])
    say(
        f"POST /v1/alerts/{made['name']}, "
        + ("signed as Standard Webhooks 1.0." if made["signed"] else "with it as bearer token.")
    )
