"""Run by Alembic: migrates over the connection that `novacron_store.state.migrate` opened."""

from alembic import context

from novacron_store.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: all of a migration or nothing
)
with context.begin_transaction():
    context.run_migrations()
