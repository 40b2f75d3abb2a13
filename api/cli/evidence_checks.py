"""`firebreak evidence verify` and `export`: checking a case here or there, and taking it along.

Owns what a person is told of a verdict. A directory or a bag is checked on the spot, without any service: nothing of it
is trusted but the keys that were named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import httpx
import typer

from api.cli.client import api
from api.cli.output import AsJson, err, moment, print_json, print_table, say, shout
from segmentation.errors import FirebreakError

if TYPE_CHECKING:
    from activities.contracts.custody import CaseVerdict
    from activities.evidence.sealing.trust import Trust
    from activities.evidence.verify import Progress

Keys = Annotated[
    list[Path] | None, typer.Option("--key", help="Public key (PEM) that seals must have; may be repeated.")
]
Fingerprints = Annotated[
    list[str] | None, typer.Option("--fingerprint", help="SHA-256 of such a key, as you were told; may be repeated.")
]
Roots = Annotated[
    list[Path] | None, typer.Option("--tsa-root", help="Root certificate (PEM) of the time-stamping authority.")
]
Timestamps = Annotated[
    list[Path] | None,
    typer.Option("--timestamp", help="RFC 3161 answer about a seal that came after the export; may be repeated."),
]
# Told apart from what is wrong (1) and from a command that is (2).
PENDING_EXIT = 3


class EvidenceBroken(FirebreakError):
    """Evidence that is not what was recorded."""

    code: ClassVar[str] = "evidence-broken"


def verify(  # noqa: PLR0913  each is one option
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="Id of the incident, a case's directory, or a bag.", metavar="CASE")],
    *,
    key: Keys = None,
    fingerprint: Fingerprints = None,
    tsa_root: Roots = None,
    timestamp: Timestamps = None,
    pending_ok: Annotated[bool, typer.Option(help="Let a seal do without a timestamp that had not come yet.")] = False,
    vault_key: Annotated[Path | None, typer.Option(help="Key file of an encrypted vault's directory.")] = None,
    purpose: Annotated[str, typer.Option(help="Why, where the API does it; it is kept.")] = "asked on the command line",
    as_json: AsJson = False,
) -> None:
    """Recompute every hash of a case: by the API, or of a directory or bag on its own, offline.

    Names the first thing that does not hold, and why: exit code 1. With --tsa-root every seal that was to be
    time-stamped has to be: if that alone is missing, exit code 3.
    """
    if Path(case).is_dir():
        trust = _trust(key, fingerprint, tsa_root, timestamp)
        stamps = bool(tsa_root) and not pending_ok
        verdict = _verify_path(Path(case).resolve(), trust, vault_key, stamps=stamps)
    else:
        verdict = _ask(context, case, purpose)
    if as_json:
        print_json(_spelled_out(verdict))
    _tell(verdict, quietly=as_json)


def export(  # noqa: PLR0913  each is one option
    context: typer.Context,
    incident_id: Annotated[str, typer.Argument(help="Id of the incident.", metavar="INCIDENT")],
    *,
    output: Annotated[Path, typer.Option(help="Folder to unpack the bag into.")],
    purpose: Annotated[str, typer.Option(help="Why, and for whom; it is kept.")],
    key: Keys = None,
    fingerprint: Fingerprints = None,
    tsa_root: Roots = None,
    as_json: AsJson = False,
) -> None:
    """Seal a case, fetch it as a bag, unpack and check it."""
    from activities.evidence.export.unpack import unpack_bag

    trust = _trust(key, fingerprint, tsa_root)
    path = f"/v1/incidents/{incident_id}/evidence/export"
    with api(context).stream(path, {"purpose": purpose}) as response:
        told = [keyid for keyid in response.headers.get("Firebreak-Seal-Keys", "").split(",") if keyid]
        length = response.headers.get("content-length")
        bag = unpack_bag(_received(response, incident_id), output, announced=int(length) if length else None)
    if told and not trust.given:
        trust = replace(trust, fingerprints=frozenset(told))
    verdict = _verify_path(bag.resolve(), trust, None)
    if as_json:
        print_json({"bag": str(bag), "verdict": _spelled_out(verdict)})
    _tell(verdict, quietly=as_json)
    _tell_pending(incident_id, verdict)
    say(f"\n{bag}: hand over the whole folder; its README.md tells how to check it without us.")
    keyid = verdict["seals"][-1]["keyid"]
    if trust.given:
        say(f"Tell the fingerprint of the key by another way, on paper or by telephone: {keyid}")
    else:
        say(f"Mind: nobody but the bag says that its key is yours. Compare it with the worker's first: {keyid}")


def _received(response: httpx.Response, incident_id: str) -> Iterator[bytes]:
    """The bytes as they come; says so if they end too early."""
    received = 0
    try:
        for chunk in response.iter_raw():
            received += len(chunk)
            yield chunk
    except httpx.TransportError as error:
        raise EvidenceBroken(
            f"The export was broken off after {received} bytes.",
            hint=f"Either the way to the API broke, or an item is not what its manifest says: "
            f"firebreak evidence verify {incident_id}. What came is in a folder that ends in .partial.",
        ) from error


def _trust(
    keys: list[Path] | None,
    fingerprints: list[str] | None,
    roots: list[Path] | None,
    timestamps: list[Path] | None = None,
) -> "Trust":
    from activities.evidence.sealing.trust import Trust

    return Trust.of(keys or (), fingerprints or (), roots or (), timestamps or ())


def _ask(context: typer.Context, incident_id: str, purpose: str) -> dict[str, Any]:
    client = api(context)
    client.http.timeout = httpx.Timeout(None, connect=5.0)  # a case of a hundred gigabytes takes its time
    path = f"/v1/incidents/{incident_id}/evidence/verification"
    verdict: dict[str, Any] = client.get(path, purpose=purpose)
    return verdict


def _verify_path(path: Path, trust: "Trust", vault_key: Path | None, *, stamps: bool = False) -> dict[str, Any]:
    from activities.evidence.export.checking import is_bag, verify_bag
    from activities.evidence.vault.directory import DirectoryCase
    from activities.evidence.vault.keys import FileKeys
    from activities.evidence.verify import verify_case

    with _progress() as progress:
        verdict: CaseVerdict
        if is_bag(path):
            verdict = verify_bag(path, trust, progress=progress, stamps=stamps)
        else:
            reader = DirectoryCase(path, FileKeys.read(vault_key) if vault_key else None)
            verdict = verify_case(reader, path.name, trust, progress=progress, stamps=stamps)
    return verdict.model_dump(mode="json")


@contextmanager
def _progress() -> Iterator["Progress"]:
    """A bar on a terminal's standard error; nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _spelled_out(verdict: dict[str, Any]) -> dict[str, Any]:
    """With what goes without saying between our own processes."""
    return {"reason": "", "timestamp": "none", "behind": 0} | verdict


def _tell(verdict: dict[str, Any], *, quietly: bool) -> None:
    for warning in verdict["warnings"]:
        say(f"Mind: {warning}")
    for stray in verdict["unregistered"]:
        say(f"Mind: {stray} is in no manifest.")
    if verdict["ok"]:
        if not quietly:
            _tell_what_holds(verdict)
        return
    shout(verdict["first_failure"])
    if verdict.get("reason") != "timestamp-pending":
        raise EvidenceBroken(
            f"{verdict['verified']} of {verdict['items']} items hold. First: {verdict['first_failure']}",
            hint="Keep everything as it is; compare with a copy that was made earlier.",
        )
    if not quietly:
        _tell_what_holds(verdict)
    say(
        f"All that is there holds; missing is the timestamp of {_pending(verdict)}. Whether it came since, or was "
        "taken away, nothing here can tell: ask for it (--timestamp FILE), or for a new export. --pending-ok does "
        "without."
    )
    raise typer.Exit(PENDING_EXIT)


def _tell_what_holds(verdict: dict[str, Any]) -> None:
    if verdict["seals"]:
        columns = ("seal", "sealed (UTC)", "items", "events", "timestamp (UTC)", "key")
        print_table(columns, [_row(seal) for seal in verdict["seals"]], empty="")
    say(f"{verdict['verified']} of {verdict['items']} items hold, and both chains.")
    say(f"{len(verdict['seals'])} seals hold; {verdict['unsealed']} links came after the last one.")


def _tell_pending(incident_id: str, verdict: dict[str, Any]) -> None:
    """That a bag was made too early for a timestamp, and how that is made good."""
    if verdict.get("timestamp") != "pending":
        return
    say(
        f"\nMind: exported with a pending timestamp, that of {_pending(verdict)}: the authority had not answered yet, "
        "and is asked again by itself. Whoever demands it (verify --tsa-root) is told that it is pending. "
        "Once it is there, export again, or hand it over by itself:"
    )
    for seal in verdict["seals"]:
        if seal["timestamp"] == "pending":
            number = seal["number"]
            say(f"  firebreak evidence timestamp {incident_id} {number} --output seal-{number}.tsr")
    say("  firebreak evidence verify BAG --tsa-root roots.pem --timestamp seal-N.tsr")


def _pending(verdict: dict[str, Any]) -> str:
    return ", ".join(f"seal {seal['number']}" for seal in verdict["seals"] if seal["timestamp"] == "pending")


def _row(seal: dict[str, Any]) -> tuple[object, ...]:
    stamped = moment(seal["timestamp_at"]) if seal["timestamp"] == "held" else seal["timestamp"]
    covers = seal["manifests"], seal["custody"]
    return seal["number"], moment(seal["sealed_at"]), *covers, stamped, seal["keyid"]
