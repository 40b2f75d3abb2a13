from pathlib import Path

import pytest

from tests.activities.evidence.sealed import SealedCase


@pytest.fixture
def bag(sealed: SealedCase, tmp_path: Path) -> Path:
    return sealed.export(tmp_path / "out")
