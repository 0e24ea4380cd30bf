"""Datasets, what jobs and versions say of them, and the names of a version's columns."""

from typing import Any

from alembic import op
import sqlalchemy as sa


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('datasets',
    sa.Column('number', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=True),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('format', sa.String(length=16), nullable=False),
    sa.Column('options', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('rows', sa.BigInteger(), nullable=False),
    sa.Column('profile', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_datasets')),
    sa.UniqueConstraint('id', name=op.f('uq_datasets_id')),
    sqlite_autoincrement=True
    )
    # Without batch_alter_table: SQLite adds nullable columns in place, and copies nothing.
    op.add_column('jobs', sa.Column('dataset', sa.String(length=32), nullable=True))
    op.add_column('jobs', sa.Column('warnings', sa.JSON(none_as_null=True), nullable=True))
    op.create_index(op.f('ix_jobs_dataset'), 'jobs', ['dataset'], unique=False)
    for name in ('warnings', 'feature_names', 'target_names'):
        op.add_column('versions', sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
    _name_columns()


def downgrade() -> None:
    for name in ('target_names', 'feature_names', 'warnings'):
        op.drop_column('versions', name)
    op.drop_index(op.f('ix_jobs_dataset'), table_name='jobs')
    op.drop_column('jobs', 'warnings')
    op.drop_column('jobs', 'dataset')
    op.drop_table('datasets')


_versions = sa.table(
    'versions',
    sa.column('model', sa.String()),
    sa.column('number', sa.Integer()),
    sa.column('spec', sa.JSON()),
    sa.column('feature_names', sa.JSON()),
    sa.column('target_names', sa.JSON()),
)


def _name_columns() -> None:
    """Write to each version what its columns are called; so far only its spec told."""
    connection = op.get_bind()
    keys = connection.execute(sa.select(_versions.c.model, _versions.c.number)).all()
    for model, number in keys:
        # One at a time: a spec may hold many points.
        here = (_versions.c.model == model) & (_versions.c.number == number)
        spec = connection.execute(sa.select(_versions.c.spec).where(here)).scalar_one()
        data = spec.get('data', {})
        names = {
            'feature_names': data.get('feature_names') or _numbered('x', data.get('x')),
            'target_names': data.get('target_names') or _numbered('y', data.get('y')),
        }
        connection.execute(sa.update(_versions).where(here).values(names))


def _numbered(stem: str, rows: Any) -> list[str]:
    """`x` alone, or `x1`, `x2`, … where there are several; a line has no rows."""
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 1
    return [stem] if width == 1 else [f'{stem}{i}' for i in range(1, width + 1)]
