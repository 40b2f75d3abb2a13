"""What hashing and uploading one large artefact takes beside `sha256sum` and a plain copy, in one run.

Owns a lab with one incident and the large file. The vault syncs what it keeps, so the copy is synced as
well; the figures tell the ratio without that too. Every round has other bytes, as the vault keeps the same ones once,
and what a round wrote is gone before the next: memory and disk are as they were. The file is in the page cache all
the time. The first round is not counted: on a virtual machine, memory that nobody has used yet costs many times more.

    figures = measure_uploads(directory, size=256 << 20, rounds=2)
    show_uploads(Console(), figures)

Alone: python -m lab.bench_upload [MEGABYTES]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from activities.evidence.vault.layout import host_prefix
from lab.control import ControlPlane
from lab.errors import LabCommandError, LabError
from lab.network import Lab
from lab.upload_figures import UploadFigures, UploadRound, figures_of, show_uploads
from lab.uploading import peak_bytes
from lab.webhook import Sender

SIZE, ROUNDS = 2_000_000_000, 4
HOST = "web"
PLAYBOOK = """\
name: upload
title: An incident that waits
match: {rules: ["Upload*"]}
contain: {lease: {ttl_seconds: 600, ends: open}, max_targets: 10}
forensics: {capture_seconds: 1, budget_seconds: 5, collect: [sockets]}
remediate: {action: none}
release: {when: decision}
"""
_SLICE_BYTES = 16 << 20
_CALM_SECONDS, _PACE_SECONDS = 60.0, 0.1
# The file, and either its copy or what the vault has of it; the rest for logs and the ledger.
_COPIES, _SPARE_BYTES = 2, 1 << 30


def bench_uploads(console: Console, directory: Path) -> bool:
    """Measure, print, leave the figures in `uploads.json`; whether they are within the targets."""
    figures = measure_uploads(directory / "uploads")
    (directory / "uploads.json").write_text(figures.model_dump_json(indent=2) + "\n", encoding="utf-8")
    show_uploads(console, figures)
    return figures.within_target


def measure_uploads(
    directory: Path, size: int = SIZE, rounds: int = ROUNDS, lab_name: str = "fbupload"
) -> UploadFigures:
    """Both sides in turn, in a lab of its own; nothing large is left."""
    directory.mkdir(parents=True, exist_ok=True)
    _check_room(directory, size)
    load, _, _ = os.getloadavg()
    # Namespaces are made by a child process: before any thread runs here.
    with (
        Lab.create(lab_name, state_dir=directory / "hosts") as lab,
        _file(directory / "item.bin", size) as item,
    ):
        bench = _Bench(lab, directory, item)
        done = [bench.round(number) for number in range(rounds + 1)][1:]
        return figures_of(size, done, (bench.sender_peak, bench.api_peak), load)


class _Bench:
    """One file, sent again and again with other bytes at its begin."""

    def __init__(self, lab: Lab, directory: Path, item: Path) -> None:
        self._item, self._host = item, lab[HOST]
        self._control = ControlPlane(lab, directory / "control", siem=False)
        playbooks = directory / "playbooks"
        playbooks.mkdir(exist_ok=True)
        (playbooks / "upload.yaml").write_text(PLAYBOOK, encoding="utf-8")
        self._control.start(environment={"FIREBREAK_PLAYBOOK_DIR": str(playbooks)})
        self._control.join_agents([HOST], recorder=False)
        sender = Sender.create(self._control, "bench")
        _, self._incident_id = sender.send(rule="Upload", host=HOST, destination=lab["db"].ipv4)
        sender.close()
        _await_decision(self._control, self._incident_id)
        self.sender_peak = 0

    @property
    def api_peak(self) -> int:
        """The most memory that the API had since it was started."""
        return peak_bytes(int(self._control.node()["pids"]["api"]))

    def round(self, number: int) -> UploadRound:
        """sha256sum, copy, upload, of bytes that nobody has seen before."""
        with self._item.open("r+b") as file:
            file.write(os.urandom(64))
        os.sync()
        digest, sha256sum = _timed("sha256sum", str(self._item))
        copy = self._item.with_suffix(".copy")
        _, cp = _timed("cp", str(self._item), str(copy))
        _, sync = _timed("sync", str(copy))
        copy.unlink()
        os.sync()
        try:
            sent = self._send(number)
        finally:
            self._forget()
        if sent["sha256"] != digest.split()[0]:
            raise LabError(f"{sent['sha256']} was sent, expected {digest.split()[0]}, which sha256sum says")
        self.sender_peak = max(self.sender_peak, sent["peak_bytes"])
        return UploadRound(sha256sum=sha256sum, cp=cp, sync=sync, ours=sent["seconds"])

    def _send(self, number: int) -> dict[str, Any]:
        evidence_id = f"{host_prefix(HOST, self._host.machine_id)}bench-{number}"
        key = self._host.state_dir / "agent" / "agent.key"
        to = (self._control.url, self._host.machine_id, str(key), self._incident_id)
        command = (sys.executable, "-m", "lab.uploading", *to, evidence_id, str(self._item))
        return dict(json.loads(_timed(*command)[0]))

    def _forget(self) -> None:
        """What the vault keeps for good takes room here: a file is gone with the last of its names."""
        size = self._item.stat().st_size
        for path in (self._control.state_dir / "vault").rglob("*"):
            if path.is_file() and path.stat().st_size == size:
                path.unlink()
        os.sync()


def _await_decision(control: ControlPlane, incident_id: str) -> None:
    """Until nothing more is done about the incident."""
    with control.client() as api:
        deadline = time.monotonic() + _CALM_SECONDS
        while True:
            incident = api.get(f"/v1/incidents/{incident_id}").raise_for_status().json()
            if incident["stage"] == "release" and incident["waiting_for"]:
                return
            if time.monotonic() > deadline:
                raise LabError(f"incident {incident_id} stays in {incident['stage']}", hint=f"See {control.state_dir}.")
            time.sleep(_PACE_SECONDS)


def _check_room(directory: Path, size: int) -> None:
    free, wanted = shutil.disk_usage(directory).free, _COPIES * size + _SPARE_BYTES
    if free < wanted:
        raise LabError(
            f"{directory} has {free} bytes free, and the upload of {size} bytes needs {wanted}.",
            hint="Make room, or choose another --directory.",
        )


@contextmanager
def _file(path: Path, size: int) -> Iterator[Path]:
    """Random bytes, gone afterwards with whatever copy of them is left."""
    try:
        with path.open("wb") as file:
            for begin in range(0, size, _SLICE_BYTES):
                file.write(os.urandom(min(_SLICE_BYTES, size - begin)))
        yield path
    finally:
        for left in path.parent.glob(f"{path.stem}.*"):
            left.unlink()


def _timed(*command: str) -> tuple[str, float]:
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    took = time.monotonic() - begun
    if done.returncode:
        raise LabCommandError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout, took


def main() -> None:
    """Measure and print."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE // 10**6
    with tempfile.TemporaryDirectory(prefix="firebreak-bench-", dir=".") as folder:
        show_uploads(Console(width=150), measure_uploads(Path(folder).resolve(), megabytes * 10**6))


if __name__ == "__main__":
    main()
