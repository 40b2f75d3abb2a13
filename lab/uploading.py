"""One upload to be measured: python -m lab.uploading API_URL HOST_ID KEY_FILE INCIDENT EVIDENCE_ID FILE.

Does what an agent does with an artefact, in a process that does nothing else, so that its memory is the upload's.
Prints how long it took, without the start of the process, which an agent has behind it.
"""

import json
import sys
import time
from pathlib import Path

import httpx

from activities.host.upload import VaultUploader
from activities.orders.keys import load_key


def main(url: str, host_id: str, key_file: Path, incident_id: str, item: tuple[str, Path]) -> None:
    """Send and tell."""
    evidence_id, path = item
    with httpx.Client() as client:
        uploader = VaultUploader(client, url, host_id, load_key(key_file))
        begun = time.monotonic()
        sent = uploader.send(incident_id, evidence_id, path.name, path)
        took = time.monotonic() - begun
    told = {"seconds": took, "sha256": sent.sha256, "peak_bytes": peak_bytes("self")}
    sys.stdout.write(json.dumps(told) + "\n")


def peak_bytes(process: int | str) -> int:
    """The most memory that a process has had so far; proc(5)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], (sys.argv[5], Path(sys.argv[6])))
