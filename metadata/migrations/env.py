"""Run schema steps on the connection that `database.migrations` hands over."""

from alembic import context

from metadata.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a column only by building the table anew
    transactional_ddl=True,  # all steps or none, on SQLite too: we say BEGIN ourselves
)
context.run_migrations()
