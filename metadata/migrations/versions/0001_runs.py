"""Runs and their learning curves.

A step says its types itself: it must make the same tables when the code has long moved on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
INDEXES = (
    ("created_at", "id"),
    ("score", "id"),
    ("state",),
    ("method",),
    ("dataset_name",),
    ("model_id",),
    ("origin_source",),
    ("pair", "configuration_key"),
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "runs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("model_id", TEXT, nullable=False),
        sa.Column("model_family", TEXT, nullable=False),
        sa.Column("model_parameters", sa.BigInteger(), nullable=False),
        sa.Column("dataset_name", TEXT, nullable=False),
        sa.Column("dataset_group", TEXT, nullable=False),
        sa.Column("dataset_sha256", TEXT, nullable=False),
        sa.Column("dataset_kind", TEXT, nullable=False),
        sa.Column("examples", sa.BigInteger(), nullable=False),
        sa.Column("device_name", TEXT, nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("target_modules", TEXT, nullable=False),
        sa.Column("optimizer", TEXT, nullable=False),
        sa.Column("schedule", TEXT, nullable=False),
        sa.Column("learning_rate", sa.Double()),
        sa.Column("batch_size", sa.BigInteger(), nullable=False),
        sa.Column("epochs", sa.Double(), nullable=False),
        sa.Column("rank", sa.BigInteger()),
        sa.Column("max_length_tokens", sa.BigInteger(), nullable=False),
        sa.Column("precision", TEXT, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("core", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Double()),
        sa.Column("base_loss", sa.Double()),
        sa.Column("best_loss", sa.Double()),
        sa.Column("last_loss", sa.Double()),
        sa.Column("exact_match", sa.Double()),
        sa.Column("mean_reciprocal_rank", sa.Double()),
        sa.Column("train_seconds", sa.Double()),
        sa.Column("eval_seconds", sa.Double()),
        sa.Column("peak_tensor_bytes", sa.BigInteger()),
        sa.Column("peak_device_bytes", sa.BigInteger()),
        sa.Column("trained_tokens", sa.BigInteger()),
        sa.Column("trainable_parameters", sa.BigInteger()),
        sa.Column("origin_source", TEXT, nullable=False),
        sa.Column("configuration_key", TEXT, nullable=False),
        sa.Column("pair", TEXT, nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("scores", sa.JSON()),
        sa.Column("costs", sa.JSON()),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    for columns in INDEXES:
        op.create_index(op.f(f"ix_runs_{'_'.join(columns)}"), "runs", list(columns))
    op.create_table(
        "curves",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_curves_run_id_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "chunk", name=op.f("pk_curves")),
    )


def downgrade() -> None:
    """Drop the tables and all runs in them."""
    op.drop_table("curves")
    op.drop_table("runs")
