"""What OpenAI's dialect asks of a job: hyperparameters, limits, a result file."""

import sqlalchemy as sa
from alembic import op

from metadata.database import Text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a file of results has no profile."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("learning_rate_multiplier", sa.Double))
        jobs.add_column(sa.Column("most_seconds", sa.Double))
        jobs.add_column(sa.Column("result_file", Text))
    with op.batch_alter_table("files") as files:
        files.alter_column("profile", existing_type=sa.JSON, nullable=True)


def downgrade() -> None:
    """Drop them, the files of results too; SQLite builds its tables anew for that."""
    op.execute("DELETE FROM files WHERE purpose = 'fine-tune-results'")
    with op.batch_alter_table("files") as files:
        files.alter_column("profile", existing_type=sa.JSON, nullable=False)
    with op.batch_alter_table("jobs") as jobs:
        for name in ("learning_rate_multiplier", "most_seconds", "result_file"):
            jobs.drop_column(name)
