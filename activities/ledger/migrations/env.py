"""Runs the migrations on the connection that `activities.ledger.schema` hands over. Never opens its own."""

from alembic import context

from activities.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Both databases have transactional DDL: a migration that fails leaves the schema that was there.
    transactional_ddl=True,
)
context.run_migrations()
