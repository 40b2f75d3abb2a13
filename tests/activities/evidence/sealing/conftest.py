from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.evidence.sealing.signers import SealSigner
from tests.activities.evidence.sealed import SealedCase, copied, lived_through, open_case
from tests.activities.evidence.tsa import StampingAuthority, serving


@pytest.fixture(scope="module")
def authority() -> Iterator[StampingAuthority]:
    with serving(StampingAuthority()) as running:
        yield running


@pytest.fixture(autouse=True)
def at_work(request: pytest.FixtureRequest) -> None:
    """Whatever a test did to the authority ends with it."""
    if "authority" in request.fixturenames:
        running: StampingAuthority = request.getfixturevalue("authority")
        running.away, running.clock = False, type(running.clock)()


@pytest.fixture(scope="module")
def template(authority: StampingAuthority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SealSigner]:
    """A case that has been through everything, and who sealed it."""
    path = tmp_path_factory.mktemp("template")
    case = lived_through(open_case(path, authority))
    case.ledger.close()
    return path, case.signer


@pytest.fixture
def sealed(authority: StampingAuthority, template: tuple[Path, SealSigner], tmp_path: Path) -> Iterator[SealedCase]:
    case = copied(template[0], tmp_path, authority, template[1])
    yield case
    case.ledger.close()


@pytest.fixture
def stamped(authority: StampingAuthority, tmp_path: Path) -> Iterator[SealedCase]:
    """An empty case whose seals get timestamps."""
    case = open_case(tmp_path, authority)
    yield case
    case.ledger.close()


@pytest.fixture
def unstamped(tmp_path: Path) -> Iterator[SealedCase]:
    """An empty case; no authority is configured."""
    case = open_case(tmp_path)
    yield case
    case.ledger.close()
