"""Leases that no clock decides, and what each worker has loaded."""

from alembic import op
import sqlalchemy as sa


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without batch_alter_table: SQLite adds and drops these in place, and copies nothing.
    op.add_column('jobs', sa.Column('beat', sa.Integer(), server_default='0', nullable=False))
    op.drop_column('jobs', 'lease_until')
    op.add_column('workers', sa.Column('loaded', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column('workers', 'loaded')
    op.add_column('jobs', sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True))
    op.drop_column('jobs', 'beat')
