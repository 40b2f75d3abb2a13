"""Whatever is done to a sealed case, verifying says which thing and why; what is done is chosen at random."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.contracts.custody import CaseVerdict
from activities.evidence.export.checking import verify_bag
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.layout import FOLDERS, HEAD_FILE
from activities.evidence.verify import verify_case_directory
from tests.activities.evidence.sealed import SealedCase, lived_through, open_case
from tests.activities.evidence.tsa import StampingAuthority, serving

EXAMPLES = settings(max_examples=500, suppress_health_check=list(HealthCheck), print_blob=True)


@dataclass(frozen=True)
class Pristine:
    """A case as it should be, in a vault and as a bag."""

    case: SealedCase
    bag: Path

    def verify_bag(self, *, given: bool) -> CaseVerdict:
        return verify_bag(self.bag, self.case.trust if given else Trust())

    def verify_vault(self, *, given: bool) -> CaseVerdict:
        return verify_case_directory(self.case.folder, self.case.trust if given else Trust())


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pristine]:
    path = tmp_path_factory.mktemp("pristine")
    with serving(StampingAuthority()) as authority:
        case = lived_through(open_case(path, authority))
    made = Pristine(case, case.export(path / "out"))
    for file in [*made.bag.rglob("*"), *case.folder.rglob("*")]:
        file.chmod(0o700 if file.is_dir() else 0o600)
    assert made.verify_bag(given=False).ok
    assert made.verify_vault(given=True).ok
    yield made
    case.ledger.close()


def files_of(pristine: Pristine, where: str) -> list[Path]:
    if where == "bag":
        return sorted(file for file in pristine.bag.rglob("*") if file.is_file())
    kept = [file for folder in FOLDERS for file in (pristine.case.folder / folder).iterdir()]
    return sorted([*kept, pristine.case.folder / HEAD_FILE])


def label(file: Path) -> str:
    """What a verdict has to name: the item of an artefact, the name of anything else."""
    return file.name.split("@")[0] if file.parent.name == "artefacts" else file.name


def place(file: Path) -> str:
    """How a link is named that is not there any more: by its place in the chain."""
    return f"{file.parent.name}/{file.name.split('@')[0]}"


def verdict_on(pristine: Pristine, where: str, *, given: bool) -> CaseVerdict:
    return pristine.verify_bag(given=given) if where == "bag" else pristine.verify_vault(given=given)


@EXAMPLES
@given(data=st.data(), where=st.sampled_from(["bag", "vault"]), given_key=st.booleans())
def test_one_flipped_bit_anywhere_is_found_and_its_place_named(
    pristine: Pristine, data: st.DataObject, where: str, given_key: bool
) -> None:
    file = data.draw(st.sampled_from(files_of(pristine, where)), label="file")
    before = file.read_bytes()
    bit = data.draw(st.integers(0, len(before) * 8 - 1), label="bit")
    after = bytearray(before)
    after[bit // 8] ^= 1 << (bit % 8)
    file.write_bytes(after)
    try:
        verdict = verdict_on(pristine, where, given=given_key)
    finally:
        file.write_bytes(before)
    assert not verdict.ok
    assert label(file) in verdict.first_failure, verdict.first_failure
    assert len(verdict.first_failure) > len(label(file)) + 10


@EXAMPLES
@given(data=st.data(), where=st.sampled_from(["bag", "vault"]), given_key=st.booleans())
def test_one_file_that_is_gone_is_found_and_its_place_named(
    pristine: Pristine, data: st.DataObject, where: str, given_key: bool
) -> None:
    file = data.draw(st.sampled_from(files_of(pristine, where)), label="file")
    aside = pristine.case.vault.root / "aside"
    shutil.move(file, aside)
    try:
        verdict = verdict_on(pristine, where, given=given_key)
    finally:
        shutil.move(aside, file)
    assert not verdict.ok
    if file.parent.name in {"manifests", "custody"}:
        assert place(file) in verdict.first_failure, verdict.first_failure
    elif file.parent.name == "seals":
        assert f"seals/{file.name[:6]}" in verdict.first_failure, verdict.first_failure
    elif file.parent.name == "keys":
        assert file.stem in verdict.first_failure, verdict.first_failure
    else:
        assert label(file) in verdict.first_failure, verdict.first_failure


@EXAMPLES
@given(
    data=st.data(),
    where=st.sampled_from(["bag", "vault"]),
    folder=st.sampled_from(["manifests", "custody", "seals", "artefacts"]),
    names_go_along=st.booleans(),
)
def test_two_that_changed_places_are_found_and_one_of_them_named(
    pristine: Pristine, data: st.DataObject, where: str, folder: str, names_go_along: bool
) -> None:
    """Their contents are exchanged, or they are renamed so that each stands in the other's place of the chain."""
    files = [file for file in files_of(pristine, where) if file.parent.name == folder]
    if folder == "seals":
        suffix = data.draw(st.sampled_from([".tsr", ".json"]))
        files = [file for file in files if file.suffix == suffix]
    first, second = data.draw(st.lists(st.sampled_from(files), min_size=2, max_size=2, unique=True), label="files")
    renamed = names_go_along and folder in {"manifests", "custody"}
    targets = exchanged_places(first, second) if renamed else (second, first)
    move(first, second, targets)
    try:
        verdict = verdict_on(pristine, where, given=True)
    finally:
        move(*targets, (first, second))
    assert not verdict.ok
    names = [label(first), label(second), place(first), place(second)]
    assert any(name in verdict.first_failure for name in names), verdict.first_failure


def exchanged_places(first: Path, second: Path) -> tuple[Path, Path]:
    """`000001@a` and `000002@b` become `000002@a` and `000001@b`."""
    numbers, keys = zip(*(file.name.split("@", 1) for file in (first, second)), strict=True)
    return first.with_name(f"{numbers[1]}@{keys[0]}"), second.with_name(f"{numbers[0]}@{keys[1]}")


def move(first: Path, second: Path, targets: tuple[Path, Path]) -> None:
    contents = first.read_bytes(), second.read_bytes()
    for file in (first, second):
        file.unlink()
    for target, content in zip(targets, contents, strict=True):
        target.write_bytes(content)


@EXAMPLES
@given(data=st.data(), where=st.sampled_from(["bag", "vault"]), folder=st.sampled_from(["manifests", "custody"]))
def test_a_chain_that_was_cut_short_is_found_and_the_first_missing_link_named(
    pristine: Pristine, data: st.DataObject, where: str, folder: str
) -> None:
    chain = [file for file in files_of(pristine, where) if file.parent.name == folder]
    left = data.draw(st.integers(0, len(chain) - 1), label="left")
    cut = {file: file.read_bytes() for file in chain[left:]}
    for file in cut:
        file.unlink()
    try:
        verdict = verdict_on(pristine, where, given=True)
    finally:
        for file, content in cut.items():
            file.write_bytes(content)
    assert not verdict.ok
    assert re.search(f"{folder}/{left + 1:06d}: missing, head.json says there are", verdict.first_failure)
