"""The history of the schema, for SQLite and PostgreSQL alike. `database.migrate` runs it."""
