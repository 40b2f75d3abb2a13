from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from activities.ledger.ledger import Ledger
from tests.activities.ledger.postgres import fresh_database, postgres, url_of


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A database with the schema in it: copying it is quicker than migrating."""
    name = fresh_database(postgres_server)
    Ledger.open(url_of(postgres_server, name)).close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server = request.getfixturevalue("postgres_server")
    return url_of(server, fresh_database(server, request.getfixturevalue("postgres_template")))


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[Callable[[], Ledger]]:
    """Opens the same ledger as another process would."""
    opened: list[Ledger] = []

    def another() -> Ledger:
        opened.append(Ledger.open(ledger_url))
        return opened[-1]

    yield another
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()
