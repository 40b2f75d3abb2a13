"""What the bag tells a stranger to do is done here, word for word, by standard tools."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from activities.evidence.sealing.seal import Sealing
from activities.evidence.sealing.signers import kms_signer
from tests.activities.evidence.items import make_item
from tests.activities.evidence.sealed import SealedCase
from tests.activities.evidence.sealing.test_signers import LargeMessages

ROOT = Path(__file__).parents[4]
BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with `firebreak` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "firebreak"
    script.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c 'from api.cli.main import app; app()' \"$@\"\n"
    )
    script.chmod(0o755)
    return folder


@dataclass(frozen=True)
class Followed:
    """What somebody at a terminal saw, who copied one block after the other."""

    said: str
    codes: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether each block was as the text says that it should be."""
        return not any(self.codes) and self.said.count("\nOK: ") >= len(self.codes) - 1


def follow(bag: Path, program: Path | None) -> Followed:
    """All blocks typed into one shell without any option; without the program, those that need it are left out."""
    blocks = BLOCKS.findall((bag / "README.md").read_text())
    wanted = [block for block in blocks if program or "firebreak" not in block]
    path = f"{program}:/usr/bin:/bin" if program else "/usr/bin:/bin"
    typed = "echo\n" + "".join(f'{block}echo "[block ended with $?]"\n' for block in wanted) + 'echo "[still there]"\n'
    done = subprocess.run(
        ["bash", "--norc", "--noprofile"],
        input=typed,
        cwd=bag,
        env={"PATH": path, "HOME": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    codes = tuple(int(code) for code in re.findall(r"\[block ended with (\d+)\]", done.stdout))
    assert len(codes) == len(wanted)
    assert done.stdout.endswith("[still there]\n"), "a block ended the shell of its reader"
    return Followed(done.stdout, codes)


def test_every_command_of_the_readme_works_as_it_stands(bag: Path, program: Path) -> None:
    done = follow(bag, program)
    assert done.holds, done.said
    assert len(done.codes) == 7
    assert "Signature Verified Successfully" in done.said
    assert done.said.count("Verification: OK") == 2
    assert "OK: 4 sealed things are here" in done.said
    assert "data/manifests: 4 links, the first 4 of them sealed" in done.said
    assert "4 of 4 items hold, and both chains." in done.said


def test_the_readme_of_a_case_sealed_by_kms_works_too(unstamped: SealedCase, tmp_path: Path) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    signer: Any = kms_signer(LargeMessages(), "alias/x")
    case = SealedCase(
        unstamped.ledger,
        unstamped.vault,
        unstamped.registry,
        Sealing(unstamped.registry, unstamped.ledger.custody, unstamped.vault, lambda: signer),
        signer,
    )
    case.seal()
    done = follow(case.export(tmp_path / "out"), None)
    assert done.holds, done.said
    assert "Verified OK" in done.said


def alter_item(bag: Path) -> None:
    rewrite(bag / "data/artefacts/web-1.routes@routes.json", b"r", b"R")


def alter_item_and_lists(bag: Path) -> None:
    """By somebody who knows how bags are made: the lists agree again, the seal does not."""
    alter_item(bag)
    for name, files in (("manifest-sha256.txt", "find data -type f"), ("tagmanifest-sha256.txt", "ls -p | grep -v /")):
        (bag / name).unlink()
        subprocess.run(["sh", "-c", f"{files} | sort | xargs sha256sum > {name}"], cwd=bag, check=True)
        text = (bag / name).read_text()
        (bag / name).write_text("".join(line for line in text.splitlines(True) if not line.endswith(f"  {name}\n")))


def remove_item_and_lists(bag: Path) -> None:
    (bag / "data/artefacts/web-1.routes@routes.json").unlink()
    rebuild(bag)


def add_item_and_lists(bag: Path) -> None:
    (bag / "data/artefacts/web-1.late@late.json").write_bytes(b"{}")
    rebuild(bag)


def remove_report_and_lists(bag: Path) -> None:
    (bag / "data/documents/report.html").unlink()
    rebuild(bag)


def alter_manifest_and_lists(bag: Path) -> None:
    rewrite(next((bag / "data/manifests").glob("000002@*")), b"isolated", b"released")
    rebuild(bag)


def cut_custody_and_lists(bag: Path) -> None:
    for path in sorted((bag / "data/custody").iterdir())[3:]:
        path.unlink()
    rebuild(bag)


def drop_custody_and_lists(bag: Path) -> None:
    next((bag / "data/custody").glob("000003@*")).unlink()
    rebuild(bag)


def alter_statement(bag: Path) -> None:
    path = max((bag / "data/seals").glob("*.dsse.json"))
    rewrite(path, b'"payload":"eyJf', b'"payload":"eyJg')
    rebuild(bag)


def alter_timestamp(bag: Path) -> None:
    path = max((bag / "data/seals").glob("*.tsr"))
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    rebuild(bag)


def rebuild(bag: Path) -> None:
    (bag / "manifest-sha256.txt").unlink()
    subprocess.run(
        ["sh", "-c", "find data -type f | sort | xargs sha256sum > m && mv m manifest-sha256.txt"], cwd=bag, check=True
    )
    (bag / "tagmanifest-sha256.txt").unlink()
    files = "bag-info.txt bagit.txt manifest-sha256.txt README.md"
    subprocess.run(["sh", "-c", f"sha256sum {files} > t && mv t tagmanifest-sha256.txt"], cwd=bag, check=True)


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.chmod(0o600)
    path.write_bytes(content.replace(old, new, 1))


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (alter_item, "web-1.routes"),
        (alter_item_and_lists, "NOT AS SEALED: data/artefacts/web-1.routes@routes.json"),
        (remove_item_and_lists, "MISSING: web-1.routes"),
        (add_item_and_lists, "NOT SEALED: data/artefacts/web-1.late@late.json"),
        (remove_report_and_lists, "MISSING: documents/report.html"),
        (alter_manifest_and_lists, "NOT WHAT COMES BEFORE IT SAYS: data/manifests/000003@"),
        (cut_custody_and_lists, "NOT THE SEALED CHAIN: data/custody"),
        (drop_custody_and_lists, "MISSING BEFORE: data/custody/000004@"),
        (alter_statement, "Signature Verification Failure"),
        (alter_timestamp, "Verification: FAILED"),
    ],
)
def test_standard_tools_alone_find_what_was_tampered_with(bag: Path, tamper: Callable[[Path], None], says: str) -> None:
    tamper(bag)
    done = follow(bag, None)
    assert not done.holds
    assert says in done.said, done.said


def test_the_readme_names_the_fingerprint_to_ask_for(bag: Path, sealed: SealedCase) -> None:
    text = (bag / "README.md").read_text()
    assert f"\n    {sealed.signer.key.keyid}\n" in text
    assert "by another way" in text
