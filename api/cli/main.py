"""`firebreak`: the command line.

Owns putting the commands together and how an error looks: a sentence, a hint, exit code 1, never a
traceback. What is no error of ours is a defect, and keeps its traceback.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from api.cli import access, checks, contain, evidence, hosts, incidents, processes, stop
from api.cli.output import err, plain
from segmentation.errors import FirebreakError


class Commands(TyperGroup):
    """Every command, with errors told to people."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of ours becomes its words."""
        try:
            return super().invoke(ctx)
        except FirebreakError as error:
            err.print(plain(error.summary), style="red")
            if error.hint:
                err.print(plain(error.hint))
            raise typer.Exit(1) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_show_locals=False)
for name, group in (
    ("incidents", incidents.app),
    ("stop", stop.app),
    ("contain", contain.app),
    ("evidence", evidence.app),
    ("hosts", hosts.app),
    ("join-token", hosts.join_token),
    ("token", access.token),
    ("source", access.source),
    ("alerts", checks.alerts),
    ("audit", checks.audit),
    ("playbooks", checks.playbooks),
):
    app.add_typer(group, name=name)
processes.register(app)


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="FIREBREAK_URL", help="Address of the API.")] = None,
    token: Annotated[str | None, typer.Option(envvar="FIREBREAK_TOKEN", help="Bearer token.", show_envvar=True)] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
) -> None:
    """Firebreak stops lateral movement: incidents, contained and proven."""
    context.obj = {"url": url, "token": token, "config": config}


if __name__ == "__main__":
    app()
