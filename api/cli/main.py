"""`firebreak`: the command line."""

import typer

from api.cli import processes

app = typer.Typer(no_args_is_help=True)
processes.register(app)

if __name__ == "__main__":
    app()
