"""`firebreak evidence show`, `seal`, `timestamp`, `hold` and `release`: what is known of an item, and done to it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api
from api.cli.output import AsJson, moment, print_json, print_pairs, print_table, say
from segmentation.errors import FirebreakError

Id = Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")]
Item = Annotated[str | None, typer.Argument(help="Id of one item; without, the case as a whole.", metavar="[ITEM]")]
Purpose = Annotated[str, typer.Option(help="Why; it is kept in the custody chain.")]


class NoSuchItem(FirebreakError):
    """An item that the case does not have."""


class NotWritten(FirebreakError):
    """A file that can't be made."""


def show(
    context: typer.Context,
    incident_id: Id,
    evidence_id: Annotated[str, typer.Argument(help="Id of the item.", metavar="ITEM")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything that is known of one item: where it came from, how it is kept, what happened to it."""
    case = api(context).get(f"/v1/incidents/{incident_id}/evidence")
    manifest = next((m for m in case["manifests"] if m["item"]["evidence_id"] == evidence_id), None)
    if manifest is None:
        raise NoSuchItem(
            f"Case {incident_id} has no item {evidence_id}.", hint=f"List them: firebreak evidence list {incident_id}."
        )
    custody = [event for event in case["custody"] if event["evidence_id"] in {evidence_id, None}]
    if as_json:
        print_json({"manifest": manifest, "custody": custody})
        return
    print_pairs(_pairs(manifest))
    print_table(("at (UTC)", "what", "who", "why"), [_event(event) for event in custody], empty="Nothing happened yet.")


def seal(context: typer.Context, incident_id: Id, *, purpose: Purpose, as_json: AsJson = False) -> None:
    """Sign what the case holds now: both chains and the digest of every item."""
    made = api(context).post(f"/v1/incidents/{incident_id}/evidence/seal", {"purpose": purpose})
    if as_json:
        print_json(made)
        return
    say(f"Seal {made['number']} covers {made['manifests']} items and {made['custody']} custody events.")
    say(f"Key: {made['keyid']}. Timestamp: {moment(made['timestamp_at']) or made['timestamp']}.")
    if made["problem"]:
        say(f"Mind: {made['problem']}")


def timestamp(
    context: typer.Context,
    incident_id: Id,
    number: Annotated[int, typer.Argument(help="Number of the seal.", metavar="SEAL", min=1)],
    *,
    output: Annotated[Path, typer.Option(help="File to write; nothing is written over.")],
) -> None:
    """Fetch the timestamp of one seal by itself, for a bag that was exported before it came."""
    with api(context).stream(f"/v1/incidents/{incident_id}/evidence/seals/{number}/timestamp") as response:
        answer = response.read()
    try:
        with output.open("xb") as file:
            file.write(answer)
    except OSError as error:
        raise NotWritten(f"{output} was not written: {error.strerror}.", hint="Name another file.") from error
    say(f"{output}: firebreak evidence verify BAG --tsa-root roots.pem --timestamp {output}")


def hold(
    context: typer.Context, incident_id: Id, evidence_id: Item = None, *, purpose: Purpose, as_json: AsJson = False
) -> None:
    """Set a legal hold on one item, or on the case with all that is still to come into it."""
    _change(context, "hold", incident_id, evidence_id, purpose, as_json=as_json)


def release(
    context: typer.Context, incident_id: Id, evidence_id: Item = None, *, purpose: Purpose, as_json: AsJson = False
) -> None:
    """Lift a legal hold: an approver who did not set it. Its retention stays as it is."""
    _change(context, "release", incident_id, evidence_id, purpose, as_json=as_json)


def _change(
    context: typer.Context, what: str, incident_id: str, evidence_id: str | None, purpose: str, *, as_json: bool
) -> None:
    body = {"purpose": purpose, "evidence_id": evidence_id}
    standing = api(context).post(f"/v1/incidents/{incident_id}/evidence/{what}", body)
    if as_json:
        print_json(standing)
        return
    held = [f"the case (by {', '.join(standing['case'])})"] if standing["case"] else []
    held += [f"{item} (by {', '.join(who)})" for item, who in standing["items"].items()]
    say(f"On hold: {', '.join(held) or 'nothing'}.")


def _pairs(manifest: dict[str, Any]) -> list[tuple[str, object]]:
    item, storage = manifest["item"], manifest["item"]["storage"] or {}
    retention, acquired, source = manifest.get("retention") or {}, manifest["item"]["acquisition"], item["source"]
    decided = ", ".join(manifest["authority"]["decision_ids"])
    return [
        ("item", item["evidence_id"]),
        ("outcome", " ".join(filter(None, (item["outcome"]["state"], item["outcome"]["reason"])))),
        ("kind", item["kind"]),
        ("file", f"{item['name']} ({item['media_type']})"),
        ("bytes", item["size"]),
        ("sha256", item["sha256"]),
        ("source", f"{source['kind']} {source['host']} {source['reference']}".strip()),
        ("interface", source["interface"]),
        ("collected", f"{moment(acquired['started'])} to {moment(acquired['ended'])}"),
        ("clock offset", f"{acquired['clock_offset_ms']} ms" if acquired["clock_offset_ms"] is not None else ""),
        ("tool", f"{acquired['tool']} {acquired['tool_version']}".strip()),
        ("command", " ".join(acquired["command"])),
        ("packets lost", _lost(acquired)),
        ("gaps", "; ".join(f"{gap['started']} to {gap['ended']}: {gap['reason']}" for gap in acquired.get("gaps", []))),
        ("collector", f"{manifest['collector']['principal']} ({manifest['collector']['role']})"),
        ("containment", manifest["containment_state_at_capture"]),
        ("plan", manifest["authority"]["plan_hash"]),
        ("decisions", decided),
        ("kept at", storage.get("uri")),
        ("lock", " until ".join(filter(None, (storage.get("lock_mode"), moment(storage.get("retain_until")))))),
        ("encryption", storage.get("encryption")),
        ("retention", f"{retention['days']} days, sealed: {retention['sealed_mode']}" if retention else ""),
        ("TLP", manifest["tlp"]),
        ("derived from", ", ".join(manifest["derived_from"])),
        ("place", f"{manifest['seq']}, after {manifest['prev_hash']}"),
    ]


def _lost(acquired: dict[str, Any]) -> str:
    counters = {name: acquired[f"packets_dropped_{name}"] for name in ("kernel", "interface")}
    return ", ".join(f"{count} by the {name}" for name, count in counters.items() if count is not None)


def _event(event: dict[str, Any]) -> tuple[object, ...]:
    of_case = "" if event["evidence_id"] else " (case)"
    return moment(event["at"]), event["action"] + of_case, event["actor"], event["purpose"]
