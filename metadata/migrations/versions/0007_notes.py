"""What people say of runs: a note, tags, what is archived; and which runs were deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; nothing is said of the runs that are there."""
    op.create_table(
        "run_notes",
        _run_id("run_notes"),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_notes")),
    )
    op.create_table(
        "run_tags",
        _run_id("run_tags"),
        sa.Column("tag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "tag", name=op.f("pk_run_tags")),
    )
    op.create_index(op.f("ix_run_tags_tag_run_id"), "run_tags", ["tag", "run_id"])
    op.create_table(
        "deleted_runs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("deleted_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deleted_runs")),
    )


def downgrade() -> None:
    """Drop the tables and what they say."""
    for table in ("deleted_runs", "run_tags", "run_notes"):
        op.drop_table(table)


def _run_id(table: str) -> sa.Column[str]:
    link = sa.ForeignKey("runs.id", name=op.f(f"fk_{table}_run_id_runs"), ondelete="CASCADE")
    return sa.Column("run_id", TEXT, link, nullable=False)
