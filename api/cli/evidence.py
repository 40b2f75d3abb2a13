"""`firebreak evidence`: list, get, verify. Every read says why, and is kept in the custody chain."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

import httpx
import typer

from api.cli.client import api
from api.cli.output import AsJson, print_json, print_table, say
from segmentation.errors import FirebreakError

app = typer.Typer(no_args_is_help=True, help="Evidence: what was collected, and whether it still is what it was.")
Id = Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")]


class EvidenceBroken(FirebreakError):
    """Evidence that is not what was recorded."""

    code: ClassVar[str] = "evidence-broken"


@app.command("list")
def list_(context: typer.Context, incident_id: Id, as_json: AsJson = False) -> None:
    """List the items of a case, absent ones too."""
    case = api(context).get(f"/v1/incidents/{incident_id}/evidence")
    if as_json:
        print_json(case)
        return
    columns = ("item", "kind", "outcome", "bytes", "sha256", "reason")
    print_table(columns, [_row(m["item"]) for m in case["manifests"]], empty="Nothing was collected yet.")


@app.command()
def get(
    context: typer.Context,
    incident_id: Id,
    evidence_id: Annotated[str, typer.Argument(help="Id of the item.", metavar="ITEM")],
    purpose: Annotated[str, typer.Option(help="Why you read it; it is kept.")],
    output: Annotated[Path | None, typer.Option(help="File to write; default: the item's own name.")] = None,
) -> None:
    """Fetch one item and check it against its digest."""
    path = f"/v1/incidents/{incident_id}/evidence/{evidence_id}"
    with api(context).stream(path, purpose=purpose) as response:
        target = output or Path(_file_name(response) or evidence_id)
        partial = target.with_name(target.name + ".partial")
        found = _save(response, partial)
    announced = response.headers.get("content-digest", "")
    if announced != found:
        partial.unlink()
        raise EvidenceBroken(f"{evidence_id} came with {found}, announced was {announced}.", hint="Fetch it again.")
    try:
        target.hardlink_to(partial)  # never replaces a file that is there
    except FileExistsError as error:
        raise EvidenceBroken(f"There is a file {target} already.", hint="Name another with --output.") from error
    finally:
        partial.unlink()
    say(f"{target}: {target.stat().st_size} bytes, {found}")


@app.command()
def verify(
    context: typer.Context,
    incident_id: Annotated[str, typer.Argument(help="Id of the incident, or a case's directory.", metavar="CASE")],
    as_json: AsJson = False,
) -> None:
    """Recompute every hash of a case: by the API, or of a directory on its own, offline."""
    verdict = _verify_directory(Path(incident_id)) if Path(incident_id).is_dir() else _ask(context, incident_id)
    if as_json:
        print_json(verdict)
    if not verdict["ok"]:
        raise EvidenceBroken(
            f"{verdict['verified']} of {verdict['items']} items hold. First: {verdict['first_failure']}",
            hint="Keep everything as it is; compare with a copy that was made earlier.",
        )
    say(f"{verdict['verified']} of {verdict['items']} items hold, and both chains.")


def _ask(context: typer.Context, incident_id: str) -> dict[str, Any]:
    verdict: dict[str, Any] = api(context).get(
        f"/v1/incidents/{incident_id}/evidence/verification", purpose="firebreak evidence verify"
    )
    return verdict


def _verify_directory(directory: Path) -> dict[str, Any]:
    from activities.evidence.verify import verify_case_directory

    return verify_case_directory(directory.resolve()).model_dump(mode="json")


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    outcome = item["outcome"]
    digest = (item["sha256"] or "")[:16]
    return item["evidence_id"], item["kind"], outcome["state"], item["size"], digest, outcome["reason"]


def _save(response: httpx.Response, path: Path) -> str:
    """Write the body; its digest, spelled as Content-Digest spells it."""
    from activities.evidence.receive import content_digest

    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in response.iter_bytes():
            digest.update(chunk)
            file.write(chunk)
    return content_digest(digest.hexdigest())


def _file_name(response: httpx.Response) -> str:
    """The name that the API gives, without any folder."""
    _, _, name = response.headers.get("content-disposition", "").partition('filename="')
    return Path(name.rstrip('"')).name
