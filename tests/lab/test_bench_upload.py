"""The bench of uploads: its figures are of what was really sent, and nothing large is left."""

import shutil
from pathlib import Path

import pytest

from lab.bench_upload import measure_uploads
from lab.errors import LabError
from lab.upload_figures import TARGET_BYTES

SIZE = 40 << 20


def test_an_upload_is_measured_beside_sha256sum_and_a_copy_and_leaves_nothing_large(
    tmp_path: Path, own_name: str
) -> None:
    figures = measure_uploads(tmp_path, SIZE, 2, own_name)

    assert len(figures.rounds) == 2
    assert all(min(one.sha256sum, one.cp, one.ours) > 0 for one in figures.rounds)
    assert figures.ratio_best >= figures.ratio_median > 0
    # An interpreter at least, and far from what the large one may take.
    assert 10_000_000 < figures.sender_peak_bytes < TARGET_BYTES
    assert 10_000_000 < figures.api_peak_bytes < TARGET_BYTES
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size >= SIZE] == []


def test_without_room_for_it_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="bytes free"):
        measure_uploads(tmp_path, shutil.disk_usage(tmp_path).free)

    assert list(tmp_path.iterdir()) == []
