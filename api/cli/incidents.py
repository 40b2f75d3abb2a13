"""`firebreak incidents`: list, show, watch, decide, release, close."""

import time
from typing import Annotated, Any, Literal

import typer

from api.cli.client import ApiRefused, api
from api.cli.output import AsJson, moment, plain, print_json, print_pairs, print_table, say
from api.cli.output import out as console
from api.cli.stop import warn_if_on

app = typer.Typer(no_args_is_help=True, help="Incidents: what happened, what waits for a decision.")
Id = Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
WATCH_SECONDS = 0.5


@app.command("list")
def list_(  # noqa: PLR0913, PLR0917 - each is one option
    context: typer.Context,
    status: Annotated[Literal["open", "closed"] | None, typer.Option(help="Only these.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only those in this stage.")] = None,
    min_severity: Annotated[int, typer.Option(min=0, max=100)] = 0,
    host: Annotated[str | None, typer.Option(help="Name, id or address of a host.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of title, rule, key or id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on after the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    query = {"status": status, "stage": stage, "min_severity": min_severity, "host": host, "text": text}
    page = api(context).get("/v1/incidents", **query, limit=limit, cursor=cursor)
    warn_if_on(api(context))
    if as_json:
        print_json(page)
        return
    columns = ("incident", "opened (UTC)", "stage", "severity", "alerts", "title", "waiting for")
    print_table(columns, [_row(item) for item in page["items"]], empty="No incidents.")
    if page["next_cursor"]:
        say(f"More: --cursor {page['next_cursor']}")


@app.command()
def show(context: typer.Context, incident_id: Id, as_json: AsJson = False) -> None:
    """Show one incident: targets, gates, timeline."""
    incident = _incident(context, incident_id)
    if as_json:
        print_json(incident)
        return
    _print_incident(incident)
    for line in incident["timeline"]:
        console.print(_line(line))


@app.command()
def watch(context: typer.Context, incident_id: Id) -> None:
    """Print the timeline as it grows, until the incident is closed."""
    printed = 0
    waiting = ""
    while True:
        incident = _incident(context, incident_id)
        for line in incident["timeline"][printed:]:
            console.print(_line(line))
        printed = len(incident["timeline"])
        if incident["waiting_for"] != waiting:
            waiting = incident["waiting_for"]
            say(f"waiting for {waiting}" if waiting else "going on")
        if incident["status"] == "closed":
            return
        time.sleep(WATCH_SECONDS)


@app.command()
def decide(  # noqa: PLR0913, PLR0917 - each is one argument or option
    context: typer.Context,
    incident_id: Id,
    gate_id: Annotated[str, typer.Argument(help="Id of the gate.", metavar="GATE")],
    approve: Annotated[bool | None, typer.Option("--approve/--deny", help="The decision.", show_default=False)] = None,
    reason: Reason = "",
    plan_hash: Annotated[str | None, typer.Option(help="The plan you read; default: the one shown now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide at a gate, after showing the plan that the decision is about."""
    client = api(context)
    gate = _gate(_incident(context, incident_id), gate_id)
    _print_gate(gate)
    if approve is None:
        approve = typer.confirm("Approve this plan?", err=True)
    body = {"gate_id": gate_id, "plan_hash": plan_hash or gate["plan_hash"], "reason": reason}
    body |= {"verdict": "approve" if approve else "deny"}
    heard = client.post(f"/v1/incidents/{incident_id}/decisions", body)
    _answer(heard, f"{'Approved' if approve else 'Denied'}: {gate_id}.", as_json=as_json)


@app.command()
def release(context: typer.Context, incident_id: Id, reason: Reason, as_json: AsJson = False) -> None:
    """Lift the isolation of every target."""
    heard = api(context).post(f"/v1/incidents/{incident_id}/release", {"reason": reason})
    words = f"Release of {incident_id} was ordered; firebreak incidents watch {incident_id} shows it."
    _answer(heard, words, as_json=as_json)


@app.command()
def close(context: typer.Context, incident_id: Id, reason: Reason, as_json: AsJson = False) -> None:
    """End an incident that waits in triage."""
    heard = api(context).post(f"/v1/incidents/{incident_id}/close", {"reason": reason})
    _answer(heard, f"{incident_id} is being closed.", as_json=as_json)


def _answer(heard: dict[str, Any], words: str, *, as_json: bool) -> None:
    """What the API answered, for programs; what it means, for people."""
    if as_json:
        print_json(heard)
        return
    say(words)


def _incident(context: typer.Context, incident_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api(context).get(f"/v1/incidents/{incident_id}")
    return found


def _gate(incident: dict[str, Any], gate_id: str) -> dict[str, Any]:
    gates: list[dict[str, Any]] = [status["gate"] for status in incident["gates"]]
    for gate in gates:
        if gate["gate_id"] == gate_id:
            return gate
    known = ", ".join(gate["gate_id"] for gate in gates) or "none"
    raise ApiRefused(f"{incident['incident_id']} has no gate {gate_id}; it has {known}.", hint="See incidents show.")


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    columns = (item["incident_id"], moment(item["opened_at"]), item["stage"], item["severity"])
    return (*columns, item["alerts"], item["title"], item["waiting_for"])


def _print_incident(incident: dict[str, Any]) -> None:
    print_pairs(
        [
            ("incident", incident["incident_id"]),
            ("title", incident["title"]),
            ("stage", f"{incident['stage']} ({incident['status']})"),
            ("severity", incident["severity"]),
            ("alerts", incident["alerts"]),
            ("playbook", incident["playbook"]),
            ("waiting for", incident["waiting_for"]),
            *((f"target {t['workload']['name']}", _target(t)) for t in incident["targets"]),
            *((f"gate {g['gate']['gate_id']}", g["outcome"] or "open") for g in incident["gates"]),
            ("evidence", f"{len(incident['evidence'])} items" if incident["evidence"] else ""),
            ("remediation", incident["remediation"]),
        ]
    )


def _target(target: dict[str, Any]) -> str:
    proof = target["proof"]
    words = [target["state"], f"proof {proof['verdict']}" if proof else "", target["reason"]]
    lease = f"lease until {moment(target['lease_until'])}" if target["lease_until"] else ""
    return ", ".join(word for word in [*words, lease] if word)


def _print_gate(gate: dict[str, Any]) -> None:
    say(gate["question"])
    for line in gate["plan"]:
        say(f"  - {line}")
    say(f"plan {gate['plan_hash']}, takes {', '.join(gate['spec']['roles'])}")


def _line(event: dict[str, Any]) -> Any:
    return plain(f"{moment(event['at'])}  {event['stage']:<10} {event['summary']}  ({event['actor']})")
