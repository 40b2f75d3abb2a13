"""The schema over time.

Owns bringing a database to the revision that this version was written for. Never changes data on its own:
that is what the scripts in `migrations/` say.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from activities.ledger.database import Database
from activities.ledger.errors import LedgerUnusable

HEAD = "0004"
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Bring the database to HEAD; a database that is there already costs one look.

    Raises:
        LedgerUnusable: a newer version of Firebreak has written this ledger.
    """
    with database.read() as connection:
        if _revision(connection) == HEAD:
            return
    with database.write() as connection:
        database.lock(connection, "migrate")
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Loading Alembic costs more than everything else here, and is needed once in a ledger's life.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    found = _revision(connection)
    try:
        if found is not None:
            ScriptDirectory.from_config(config).get_revision(found)
        command.upgrade(config, "head")
    except (CommandError, ResolutionError) as error:
        raise LedgerUnusable(
            f"The ledger has schema {found}, this version knows up to {HEAD}.",
            hint="Run the version that wrote it, or a newer one.",
        ) from error
