from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.activities.evidence.sealed import SealedCase, open_case
from tests.activities.evidence.tsa import StampingAuthority


@pytest.fixture(autouse=True)
def at_work(request: pytest.FixtureRequest) -> None:
    """Whatever a test did to the authority ends with it."""
    if "authority" in request.fixturenames:
        running: StampingAuthority = request.getfixturevalue("authority")
        running.away, running.clock = False, type(running.clock)()


@pytest.fixture
def stamped(authority: StampingAuthority, tmp_path: Path) -> Iterator[SealedCase]:
    """An empty case whose seals get timestamps."""
    case = open_case(tmp_path, authority)
    yield case
    case.ledger.close()
