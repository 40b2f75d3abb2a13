"""A vault in a directory whose writers die, and whose disk is full."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.evidence.errors import VaultMissing
from activities.evidence.vault.local import LocalVault
from tests.activities.evidence.vault.test_local import files

WRITER = """
import sys, time
from pathlib import Path
from activities.evidence.vault.local import LocalVault

def chunks():
    yield b"x" * 100_000
    print("half", flush=True)
    time.sleep(60)

LocalVault(Path(sys.argv[1])).put_stream("inc-1", "e1", "a.bin", chunks(), sha256="0" * 64)
"""


@pytest.fixture
def writer(vault: LocalVault) -> Iterator[subprocess.Popen[str]]:
    """Another process, half-way through an upload."""
    command = (sys.executable, "-c", WRITER, str(vault.root))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_writer_that_is_killed_leaves_nothing_that_looks_whole(
    vault: LocalVault, writer: subprocess.Popen[str]
) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with pytest.raises(VaultMissing):
        vault.find("inc-1", "e1")
    assert len(files(vault)) == 1, "the draft"
    assert files(LocalVault(vault.root)) == [], "the next start sweeps it"


def test_start_leaves_the_draft_of_a_living_writer_alone(vault: LocalVault, writer: subprocess.Popen[str]) -> None:
    drafts = files(vault)
    assert len(drafts) == 1
    assert files(LocalVault(vault.root)) == drafts


FULL_DISK = """
import json, os, sys
from pathlib import Path
from activities.evidence.errors import VaultUnavailable
from activities.evidence.vault.local import LocalVault
from tests.activities.evidence.vault.test_local import files, put

vault = LocalVault(Path(sys.argv[1]))
kept = put(vault, b"small")
try:
    put(vault, os.urandom(2 << 20), evidence_id="e2")
except VaultUnavailable as error:
    said = str(error)
after = files(vault)
again = put(vault, b"small") == kept
fits = put(vault, os.urandom(100_000), evidence_id="e2")
print(json.dumps({"said": said, "after": after, "again": again, "fits": fits}))
"""


@pytest.mark.lab
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    """A disk of one mebibyte, in a mount namespace that ends with the process."""
    mount = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    command = ("unshare", "--mount", "sh", "-c", mount, FULL_DISK)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "No space left" in seen["said"]
    assert seen["after"] == ["case/inc-1/artefacts/e1@a.bin"]
    assert seen["again"]
    assert seen["fits"], "what does fit is taken again"
