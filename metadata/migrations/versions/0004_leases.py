"""Jobs that survive: owners, priorities, retries, checkpoints, and keys that make orders one."""

import sqlalchemy as sa
from alembic import op

from metadata.database import Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JOB_COLUMNS = ("owner", "priority", "retries", "start_progress", "checkpoint_step", "not_before")
_ATTEMPT_COLUMNS = ("started_by", "last_batch")


def upgrade() -> None:
    """Add columns and tables; jobs of before belong to this machine's own caller."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("owner", Text, nullable=False, server_default="local"))
        jobs.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
        jobs.add_column(sa.Column("retries", sa.Integer, nullable=False, server_default="0"))
        jobs.add_column(sa.Column("start_progress", sa.Double, nullable=False, server_default="0"))
        jobs.add_column(sa.Column("checkpoint_step", sa.BigInteger))
        jobs.add_column(sa.Column("not_before", _MOMENT))
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("started_by", Text, nullable=False, server_default="local"))
        attempts.add_column(sa.Column("last_batch", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_jobs_owner_state", "jobs", ["owner", "state"])
    op.create_table(
        "job_checkpoints",
        sa.Column("job_id", Text, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("name", Text, primary_key=True),
        sa.Column("attempt_id", Text, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", Text, primary_key=True),
        sa.Column("key", Text, primary_key=True),
        sa.Column("body_hash", Text, nullable=False),
        sa.Column("job_id", Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False, index=True),
    )


def downgrade() -> None:
    """Drop them; SQLite builds its tables anew for that."""
    op.drop_table("idempotency_keys")
    op.drop_table("job_checkpoints")
    op.drop_index("ix_jobs_owner_state", "jobs")
    with op.batch_alter_table("attempts") as attempts:
        for name in _ATTEMPT_COLUMNS:
            attempts.drop_column(name)
    with op.batch_alter_table("jobs") as jobs:
        for name in _JOB_COLUMNS:
            jobs.drop_column(name)
