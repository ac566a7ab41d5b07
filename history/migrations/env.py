"""Alembic's entry: runs migrations on the connection that `migrate` hands over."""

from alembic import context

from history.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
