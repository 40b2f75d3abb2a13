"""`firebreak stop`: the global stop of automatic containment."""

from typing import Annotated, Any

import typer

from api.cli.client import ApiClient, api
from api.cli.output import AsJson, moment, print_json, say, shout

app = typer.Typer(no_args_is_help=True, help="The global stop: freezes every automatic containment at once.")
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
PATH = "/v1/stop"


@app.command("on")
def on(context: typer.Context, reason: Reason, as_json: AsJson = False) -> None:
    """Freeze every automatic containment; people's approvals, renewals and releases go on."""
    state = api(context).put(PATH, {"reason": reason})
    if as_json:
        print_json(state)
        return
    shout(in_words(state))


@app.command("off")
def off(context: typer.Context, reason: Reason, as_json: AsJson = False) -> None:
    """Lift it: takes an administrator or break-glass."""
    state = api(context).delete(PATH, reason=reason)
    if as_json:
        print_json(state)
        return
    say("The global stop is off: playbooks contain by themselves again.")


@app.command("show")
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Say whether it is on."""
    state = api(context).get(PATH)
    if as_json:
        print_json(state)
    elif state["on"]:
        shout(in_words(state))
    else:
        say("The global stop is off.")


def warn_if_on(client: ApiClient) -> None:
    """Say it loudly, on standard error, where somebody looks at incidents."""
    state = client.get(PATH)
    if state["on"]:
        shout(in_words(state))


def in_words(state: dict[str, Any]) -> str:
    """Since when, by whom and why."""
    return (
        "THE GLOBAL STOP IS ON: nothing is contained that no person approves. "
        f"Since {moment(state['since'])} UTC by {state['actor'].removeprefix('user:')}: {state['reason']}"
    )
