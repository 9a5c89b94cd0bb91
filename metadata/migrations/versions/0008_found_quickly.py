"""Indexes for what a measured history of 1,000,000 runs was slow to find.

Runs by training time; of a dataset and a method, which are asked for together; and those with a
reason: nearly all have none, so that a search of its text reads one of ten runs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

HAS_REASON = sa.text("reason <> ''")


def upgrade() -> None:
    """Make the indexes."""
    op.create_index(op.f("ix_runs_train_seconds_id"), "runs", ["train_seconds", "id"])
    op.create_index(op.f("ix_runs_dataset_name_method"), "runs", ["dataset_name", "method"])
    op.drop_index(op.f("ix_runs_dataset_name"), "runs")  # the one above finds as well
    op.create_index(
        "ix_runs_with_reason",
        "runs",
        ["created_at", "id"],
        sqlite_where=HAS_REASON,
        postgresql_where=HAS_REASON,
    )


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index("ix_runs_with_reason", "runs")
    op.create_index(op.f("ix_runs_dataset_name"), "runs", ["dataset_name"])
    op.drop_index(op.f("ix_runs_dataset_name_method"), "runs")
    op.drop_index(op.f("ix_runs_train_seconds_id"), "runs")
