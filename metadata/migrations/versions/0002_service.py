"""The service's tables: files, recommendations, jobs, attempts, events, measurements."""

import sqlalchemy as sa
from alembic import op

from metadata.database import Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    _create_files_and_recommendations()
    _create_jobs()
    _create_attempts()


def downgrade() -> None:
    """Drop the tables, those that point to others first."""
    for table in (
        "attempt_measurements",
        "attempts",
        "job_events",
        "jobs",
        "recommendations",
        "files",
    ):
        op.drop_table(table)


def _create_files_and_recommendations() -> None:
    op.create_table(
        "files",
        sa.Column("id", Text, primary_key=True),
        sa.Column("label", Text, nullable=False),
        sa.Column("purpose", Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("profile", sa.JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False, index=True),
    )
    op.create_table(
        "recommendations",
        sa.Column("id", Text, primary_key=True),
        sa.Column("knowledge_version", Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False, index=True),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Text, primary_key=True),
        sa.Column("state", Text, nullable=False),
        sa.Column("base_model", Text, nullable=False),
        sa.Column("model", sa.JSON, nullable=False),
        sa.Column("dataset", sa.JSON, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("chosen_by", Text, nullable=False),
        sa.Column("recommendation_id", Text),
        sa.Column("rank", sa.Integer),
        sa.Column("forecast_seconds", sa.Double),
        sa.Column("training_file", Text, nullable=False),
        sa.Column("validation_file", Text),
        sa.Column("suffix", Text),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("trained_tokens", sa.BigInteger, nullable=False),
        sa.Column("error_code", Text),
        sa.Column("reason", Text, nullable=False),
        sa.Column("run_id", Text),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("last_event", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_state_created_at", "jobs", ["state", "created_at"])
    op.create_table(
        "job_events",
        sa.Column("job_id", Text, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", Text, nullable=False),
        sa.Column("level", Text, nullable=False),
        sa.Column("message", Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", Text, primary_key=True),
        sa.Column("job_id", Text, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", Text, nullable=False, index=True),
        sa.Column("claim_hash", Text, unique=True),
        sa.Column("token_hash", Text),
        sa.Column("lease_expires_at", _MOMENT, nullable=False),
        sa.Column("outcome", sa.JSON),
        sa.Column("device", sa.JSON),
        sa.Column("is_recorded", sa.Boolean, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.UniqueConstraint("job_id", "generation"),
    )
    op.create_table(
        "attempt_measurements",
        sa.Column("attempt_id", Text, sa.ForeignKey("attempts.id"), primary_key=True),
        sa.Column("split", Text, primary_key=True),
        sa.Column("name", Text, primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Double, nullable=False),
    )
