"""Alembic's entry: run the migrations on the connection that `infra.postgres` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="patterns",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
