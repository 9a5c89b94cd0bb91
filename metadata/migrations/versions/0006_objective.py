"""What a job and a run lower: the supervised loss, as all did before, or another."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("runs", "jobs")
SUPERVISED = '{"name":"supervised","beta":null}'


def upgrade() -> None:
    """Add the columns; what is there is supervised."""
    for table in TABLES:
        with op.batch_alter_table(table) as changed:
            changed.add_column(
                sa.Column("objective", sa.JSON, nullable=False, server_default=SUPERVISED)
            )


def downgrade() -> None:
    """Drop the columns; what is not supervised would be taken for it, and goes from the runs."""
    runs = sa.table("runs", sa.column("id"), sa.column("objective"))
    curves = sa.table("curves", sa.column("run_id"))
    is_other = sa.cast(runs.c.objective, sa.Text).notlike('%"supervised"%')
    op.execute(sa.delete(curves).where(curves.c.run_id.in_(sa.select(runs.c.id).where(is_other))))
    op.execute(sa.delete(runs).where(is_other))
    for table in TABLES:
        with op.batch_alter_table(table) as changed:
            changed.drop_column("objective")
