"""`firebreak alerts`, `firebreak audit`, `firebreak playbooks`: trying and checking."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from api.cli.client import api, client_settings
from api.cli.output import AsJson, print_json, print_table, say
from segmentation.errors import FirebreakError

alerts = typer.Typer(no_args_is_help=True, help="Alerts, for trying.")
audit = typer.Typer(no_args_is_help=True, help="The audit chain.")
playbooks = typer.Typer(no_args_is_help=True, help="Playbooks.")


class AuditBroken(FirebreakError):
    """An audit chain that does not hold."""

    code: ClassVar[str] = "audit-broken"


class SecretMissing(FirebreakError):
    """Nothing to sign with."""

    code: ClassVar[str] = "secret-missing"


@alerts.command("send")
def send(
    context: typer.Context,
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="ECS document as JSON; - for standard input.")],
    source: Annotated[str, typer.Option(help="Configured source to send as.")],
    secret: Annotated[
        str | None, typer.Option(envvar="FIREBREAK_WEBHOOK_SECRET", help="Default: of this node.")
    ] = None,
    webhook_id: Annotated[str | None, typer.Option(help="Default: a new one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a document and post it."""
    from api.cli.signing import signed_headers

    body = file.read()
    headers = signed_headers(
        secret or _secret_of(context, source),
        webhook_id or f"msg_{secrets.token_hex(12)}",
        body,
        datetime.now(UTC),
    )
    answer = api(context).send(f"/v1/alerts/{source}", body, headers)
    if as_json:
        print_json(answer)
        return
    say(f"{answer['incident_id']}: {answer['status']}, {answer['alerts']} alert(s) counted.")


@audit.command("list")
def list_events(
    context: typer.Context,
    incident: Annotated[str | None, typer.Option(help="Events of this incident alone.")] = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="Number of the last event you have; default: the newest.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Read the audit chain: who did what, in its order."""
    events = api(context).get("/v1/audit", after=after, limit=limit, incident_id=incident)
    if as_json:
        print_json(events)
        return
    rows = [(e["seq"], e["at"], e["kind"], e["actor"], e["incident_id"] or "") for e in events]
    print_table(("#", "time (UTC)", "what", "who", "incident"), rows, empty="Nothing has happened yet.")


@audit.command("verify")
def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Recompute the audit chain. Note its head elsewhere: a rewritten chain has another."""
    verdict = api(context).get("/v1/audit/verification")
    if as_json:
        print_json(verdict)
    if not verdict["ok"]:
        raise AuditBroken(
            f"After {verdict['events']} events: {verdict['first_failure']}.",
            hint="Keep the database as it is, and compare with a backup.",
        )
    say(f"{verdict['events']} events hold; head {verdict['head']}.")


@playbooks.command("check")
def check(
    directory: Annotated[Path | None, typer.Argument(help="Folder of YAML files; default: the catalog.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load every playbook; each error names file, line and what was expected."""
    from api.processes.describe import CATALOG
    from playbooks.loading import load_catalog

    found = load_catalog(directory or CATALOG)
    if as_json:
        print_json([playbook.model_dump(mode="json") for playbook in found])
        return
    print_table(("name", "title"), [(p.name, p.title) for p in found], empty="No playbooks there.")


@alerts.callback()
def _alerts() -> None:
    """Keeps `send` a command of its own: Typer folds a group of one."""


@audit.callback()
def _audit() -> None:
    """The same."""


@playbooks.callback()
def _playbooks() -> None:
    """The same."""


def _secret_of(context: typer.Context, name: str) -> str:
    from api.sources import Sources

    state_dir = client_settings(context).state_dir
    found = Sources(state_dir).find(name)
    if found is None or not found.signed:
        raise SecretMissing(
            f"{state_dir} has no signing source {name}.",
            hint="Name the secret: --secret or FIREBREAK_WEBHOOK_SECRET.",
        )
    return found.secrets[0].get_secret_value()
