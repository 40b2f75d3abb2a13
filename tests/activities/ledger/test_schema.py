from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from activities.ledger.errors import LedgerUnusable
from activities.ledger.ledger import Ledger
from activities.ledger.schema import HEAD, MIGRATIONS
from activities.ledger.state import read_state
from activities.ledger.tables import metadata
from tests.activities.ledger.making import at_once
from tests.activities.ledger.postgres import fresh_database, url_of
from tests.activities.ledger.test_custody import building, event


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server = request.getfixturevalue("postgres_server")
    return url_of(server, fresh_database(server))


def driver_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_migrations_make_the_tables_that_the_code_knows(empty_url: str) -> None:
    Ledger.open(empty_url).close()
    engine = create_engine(driver_url(empty_url))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_version_that_the_code_names_is_the_last_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    for ledger in at_once([lambda: Ledger.open(empty_url)] * 4):
        ledger.audit.append(kind="started", actor="workflow", body={})
        ledger.close()
    ledger = Ledger.open(empty_url)
    assert ledger.audit.verify().events == 4
    ledger.close()


def test_a_ledger_of_before_there_were_reservations_is_taken_on_with_what_it_holds(empty_url: str) -> None:
    engine = create_engine(driver_url(empty_url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("insert into ledger_state (key, value) values ('kept', 'yes')"))
    engine.dispose()

    ledger = Ledger.open(empty_url)
    with ledger._database.read() as connection:
        assert read_state(connection, "kept") == "yes"
        assert connection.execute(text("select count(*) from containments")).scalar() == 0
    ledger.close()


def test_what_a_ledger_held_before_there_were_marks_is_taken_for_copied(empty_url: str) -> None:
    """So that a vault that was cut before is named as it was before."""
    ledger = Ledger.open(empty_url)
    for name in ("packets-1", "packets-2"):
        ledger.custody.append_manifest("inc-1", building(name))
    ledger.custody.append_custody("inc-1", event("collect"))
    ledger.close()
    engine = create_engine(driver_url(empty_url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    engine.dispose()

    ledger = Ledger.open(empty_url)
    found = ledger.custody.copies.find("inc-1")
    assert found is not None
    assert (found.manifests, found.custody) == (2, 1)
    assert abs(datetime.now(UTC) - found.at) < timedelta(minutes=1)
    assert ledger.custody.copies.behind() == []
    ledger.close()


def test_a_ledger_that_a_newer_version_wrote_is_refused(empty_url: str) -> None:
    Ledger.open(empty_url).close()
    engine = create_engine(driver_url(empty_url))
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerUnusable, match="schema 9999"):
        Ledger.open(empty_url)


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_can_hold_no_ledger_is_refused_with_what_can(url: str) -> None:
    with pytest.raises(LedgerUnusable) as refused:
        Ledger.open(url)
    assert "sqlite:////absolute" in refused.value.hint


def test_a_password_in_a_refused_address_is_not_repeated() -> None:
    with pytest.raises(LedgerUnusable) as refused:
        Ledger.open("mysql://user:hunter2@host/db")
    assert "hunter2" not in str(refused.value)


def test_a_folder_that_is_made_for_the_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    Ledger.open(f"sqlite:///{tmp_path / 'state' / 'ledger.db'}").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ledger._database.read() as connection:
        assert connection.execute(text("pragma journal_mode")).scalar() == "wal"
        assert connection.execute(text("pragma synchronous")).scalar() == 2  # FULL
    ledger.close()
