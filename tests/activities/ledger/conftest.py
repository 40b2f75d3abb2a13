import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from activities.ledger.ledger import Ledger
from activities.ledger.tables import metadata
from tests.activities.ledger.postgres import fresh_database, postgres, url_of

TABLES = ", ".join(metadata.tables)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_ledger(postgres_server: str) -> str:
    """A database with the schema in it; emptying it is quicker than making another."""
    name = fresh_database(postgres_server)
    Ledger.open(url_of(postgres_server, name)).close()
    return name


@pytest.fixture(scope="session")
def sqlite_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema in it; copying it is quicker than migrating."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_ledger"), tmp_path / "ledger.db")
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server, database = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_ledger")
    with psycopg.connect(f"{server} dbname={database}", autocommit=True) as connection:
        connection.execute(f"truncate {TABLES} restart identity".encode())
    return url_of(server, database)


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
