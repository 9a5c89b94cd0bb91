"""What must be able to load a job's result; NULL for jobs of before: as the method leaves it."""

import sqlalchemy as sa
from alembic import op

from metadata.database import Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", sa.Column("serve_with", Text))


def downgrade() -> None:
    """Drop the column; SQLite builds its table anew for that."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("serve_with")
