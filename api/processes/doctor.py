"""`firebreak doctor`: what is missing or unreachable on this machine, why, and what to do about it.

Owns the checks. Changes nothing; a check that can't be made says so and counts as a problem.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from activities.evidence.vault.opening import examine_vault
from activities.ledger.ledger import Ledger
from api.processes.describe import CATALOG
from api.processes.embedded import find_program
from api.settings import UpSettings
from playbooks.loading import load_catalog, load_safeguards
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen

TOOLS = {
    "nft": ("nftables", "isolates this host"),
    "dumpcap": ("wireshark-common", "captures packets"),
    "bpftrace": ("bpftrace", "records kernel events"),
    "ulogd": ("ulogd2 ulogd2-json", "turns denied packets into JSON"),
    "ip": ("iproute2", "makes the lab's namespaces"),
    "conntrack": ("conntrack", "shows what is tracked"),
}


class Finding(Frozen):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "missing", "unreachable", "off", "STOPPED"]
    detail: str
    remedy: str = ""


async def examine(settings: UpSettings, *, as_json: bool = False) -> int:
    """Look at everything and print it; 0 if nothing is missing or unreachable."""
    findings = [*tools(), rights(), embedded(), playbooks(settings), safeguards(settings), state(settings)]
    findings += [await _safely(look, settings) for look in (ledger, vault, stop, temporal, api, siem)]
    _print(findings, as_json=as_json)
    return int(any(f.state in {"missing", "unreachable", "STOPPED"} for f in findings))


def tools() -> list[Finding]:
    """The programs that agents and lab use."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in TOOLS}
    return [
        Finding(name=name, state="ok", detail=f"{where}: {TOOLS[name][1]}")
        if where
        else Finding(name=name, state="missing", detail=TOOLS[name][1], remedy=f"apt-get install {TOOLS[name][0]}")
        for name, where in found.items()
    ]


def rights() -> Finding:
    """Whether an agent could act here: by trying, in a ruleset check that changes nothing."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nft is None:
        return Finding(
            name="rights", state="missing", detail="nft is not here to try", remedy="apt-get install nftables"
        )
    tried = subprocess.run(
        [nft, "-c", "add", "table", "inet", "firebreak_doctor"], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return Finding(name="rights", state="ok", detail="may change nftables")
    return Finding(
        name="rights", state="missing", detail=tried.stderr.strip()[:200], remedy="Run as root or with CAP_NET_ADMIN."
    )


def embedded() -> Finding:
    """The workflow engine that `up` and `demo` start."""
    try:
        return Finding(name="embedded temporal", state="ok", detail=find_program("temporal"))
    except FirebreakError as error:
        return Finding(name="embedded temporal", state="missing", detail=error.summary, remedy=error.hint)


def playbooks(settings: UpSettings) -> Finding:
    """Whether every playbook is valid."""
    folder = settings.playbook_dir or CATALOG
    try:
        names = ", ".join(p.name for p in load_catalog(folder))
    except FirebreakError as error:
        return Finding(name="playbooks", state="missing", detail=error.summary, remedy=error.hint)
    return Finding(name="playbooks", state="ok", detail=f"{folder}: {names}")


def safeguards(settings: UpSettings) -> Finding:
    """Whether the site's safeguards are valid, and what they say."""
    try:
        found = load_safeguards(settings.safeguards_file)
    except FirebreakError as error:
        return Finding(name="safeguards", state="missing", detail=error.summary, remedy=error.hint)
    protected, limits = found.protected, found.limits
    lines = len(protected.labels) + len(protected.names) + len(protected.networks)
    percent = limits.percent_of_group_per_hour
    of_group = f", {percent} percent of each {limits.group}" if percent is not None else ""
    detail = f"{lines} lines protect; {limits.per_hour} targets an hour{of_group}"
    return Finding(name="safeguards", state="ok", detail=f"{settings.safeguards_file or 'defaults'}: {detail}")


def state(settings: UpSettings) -> Finding:
    """Whether the state directory can be written, and how much room there is."""
    folder = settings.state_dir if settings.state_dir.exists() else _existing(settings.state_dir)
    if not os.access(folder, os.W_OK):
        return Finding(name="state", state="missing", detail=f"{folder} can't be written", remedy="Choose --state-dir.")
    free = shutil.disk_usage(folder).free >> 20
    return Finding(name="state", state="ok", detail=f"{settings.state_dir}: {free} MiB free")


async def ledger(settings: UpSettings) -> Finding:
    """Whether the ledger answers and its audit chain is whole; a ledger that was never made stays unmade."""
    if not settings.ledger_url and not (settings.state_dir / "ledger.db").exists():
        return Finding(name="ledger", state="off", detail="not made yet; `firebreak up` makes it")
    book = Ledger.open(settings.ledger)
    try:
        verdict = book.audit.verify()
    finally:
        book.close()
    if not verdict.ok:
        return Finding(name="ledger", state="missing", detail=verdict.first_failure, remedy="firebreak audit verify")
    return Finding(name="ledger", state="ok", detail=f"{verdict.events} audit events, chain whole")


async def vault(settings: UpSettings) -> Finding:
    """Whether evidence can be kept as the settings say: key, bucket, Object Lock."""
    detail = await asyncio.to_thread(examine_vault, settings.vault_place)
    return Finding(name="vault", state="ok", detail=detail)


async def stop(settings: UpSettings) -> Finding:
    """Whether the global stop is on: then alerts are taken in, and nothing is contained without people."""
    if not settings.ledger_url and not (settings.state_dir / "ledger.db").exists():
        return Finding(name="global stop", state="ok", detail="off")
    book = Ledger.open(settings.ledger)
    try:
        restraint = book.stop.read().restraint
    finally:
        book.close()
    if not restraint:
        return Finding(name="global stop", state="ok", detail="off")
    detail = f"NOTHING IS CONTAINED AUTOMATICALLY: {restraint}"
    return Finding(name="global stop", state="STOPPED", detail=detail, remedy="firebreak stop off --reason ...")


async def temporal(settings: UpSettings) -> Finding:
    """Whether Temporal answers."""
    address = settings.temporal_address
    if settings.temporal_port and "temporal_address" not in settings.model_fields_set:
        address = f"127.0.0.1:{settings.temporal_port}"
    await Client.connect(address, namespace=settings.temporal_namespace)
    return Finding(name="temporal", state="ok", detail=address)


async def api(settings: UpSettings) -> Finding:
    """Whether the API answers, and what it says of its own parts."""
    url = f"http://{settings.bind}:{settings.api_port}/readyz"
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.get(url)
    state: Literal["ok", "unreachable"] = "ok" if answer.is_success else "unreachable"
    return Finding(name="api", state=state, detail=f"{url}: {answer.status_code} {answer.text[:200]}")


async def siem(settings: UpSettings) -> Finding:
    """Whether the SIEM answers, where there is one."""
    url = settings.siem_url or (f"http://127.0.0.1:{settings.siem_port}" if settings.siem_port else "")
    if not url:
        detail = "none is configured: nothing is corroborated, no detection runs"
        return Finding(name="siem", state="off", detail=detail, remedy="Set FIREBREAK_SIEM_URL.")
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.get(url)
    return Finding(name="siem", state="ok", detail=f"{url}: {answer.status_code}")


async def _safely(look: Callable[[UpSettings], Awaitable[Finding]], settings: UpSettings) -> Finding:
    name = getattr(look, "__name__", "check")
    try:
        return await look(settings)
    except FirebreakError as error:
        return Finding(name=name, state="unreachable", detail=error.summary, remedy=error.hint)
    except (httpx.HTTPError, SQLAlchemyError, RuntimeError, OSError) as error:
        return Finding(name=name, state="unreachable", detail=str(error)[:200], remedy="Is `firebreak up` running?")


def _existing(path: Path) -> Path:
    return next(parent for parent in path.resolve().parents if parent.exists())


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        Console().print_json(data=[f.model_dump(mode="json") for f in findings])
        return
    colours = {"ok": "green", "missing": "red", "unreachable": "red", "off": "yellow", "STOPPED": "bold white on red"}
    table = Table("what", "state", "detail", "what to do", title="firebreak doctor")
    for f in findings:
        table.add_row(f.name, f"[{colours[f.state]}]{f.state}", escape(f.detail), escape(f.remedy))
    Console().print(table)
