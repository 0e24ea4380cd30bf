"""The first schema: jobs, versions, deployments, workers."""

from alembic import op
import sqlalchemy as sa


revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('jobs',
    sa.Column('number', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('model', sa.String(length=64), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('spec', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('fence', sa.Integer(), nullable=False),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_requested', sa.Boolean(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('epochs', sa.Integer(), nullable=False),
    sa.Column('events', sa.Integer(), nullable=False),
    sa.Column('metrics', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('version', sa.Integer(), nullable=True),
    sa.Column('promotion', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('error', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('progress_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_jobs')),
    sa.UniqueConstraint('id', name=op.f('uq_jobs_id')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_jobs_model_number'), ['model', 'number'], unique=False)
        batch_op.create_index(batch_op.f('ix_jobs_state_number'), ['state', 'number'], unique=False)

    op.create_table('models',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('last_version', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_models'))
    )
    op.create_table('workers',
    sa.Column('node', sa.String(length=128), nullable=False),
    sa.Column('slot', sa.Integer(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('generation', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('failure', sa.String(length=1024), nullable=True),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('node', 'slot', name=op.f('pk_workers'))
    )
    op.create_table('deployment_moves',
    sa.Column('generation', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('model', sa.String(length=64), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('below', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model'], ['models.name'], name=op.f('fk_deployment_moves_model_models')),
    sa.PrimaryKeyConstraint('generation', name=op.f('pk_deployment_moves')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('deployment_moves', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_deployment_moves_model'), ['model'], unique=False)

    op.create_table('idempotency_keys',
    sa.Column('key', sa.String(length=256), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('job_id', sa.String(length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_idempotency_keys_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_idempotency_keys'))
    )
    op.create_table('job_events',
    sa.Column('job_id', sa.String(length=32), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('fence', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('data', sa.JSON(none_as_null=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_events_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'seq', name=op.f('pk_job_events'))
    )
    op.create_table('versions',
    sa.Column('model', sa.String(length=64), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('job_id', sa.String(length=32), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('artifact', sa.String(length=64), nullable=False),
    sa.Column('spec', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('metrics', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('truth', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('least_squares', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('data_sha256', sa.String(length=64), nullable=False),
    sa.Column('environment', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model'], ['models.name'], name=op.f('fk_versions_model_models')),
    sa.PrimaryKeyConstraint('model', 'number', name=op.f('pk_versions')),
    sa.UniqueConstraint('job_id', name=op.f('uq_versions_job_id'))
    )
    with op.batch_alter_table('versions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_versions_artifact'), ['artifact'], unique=False)

    op.create_table('deployments',
    sa.Column('model', sa.String(length=64), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('generation', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.ForeignKeyConstraint(['generation'], ['deployment_moves.generation'], name=op.f('fk_deployments_generation_deployment_moves')),
    sa.ForeignKeyConstraint(['model', 'version'], ['versions.model', 'versions.number'], name=op.f('fk_deployments_model_version_versions')),
    sa.ForeignKeyConstraint(['model'], ['models.name'], name=op.f('fk_deployments_model_models')),
    sa.PrimaryKeyConstraint('model', name=op.f('pk_deployments'))
    )


def downgrade() -> None:
    op.drop_table('deployments')
    with op.batch_alter_table('versions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_versions_artifact'))

    op.drop_table('versions')
    op.drop_table('job_events')
    op.drop_table('idempotency_keys')
    with op.batch_alter_table('deployment_moves', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_deployment_moves_model'))

    op.drop_table('deployment_moves')
    op.drop_table('workers')
    op.drop_table('models')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_jobs_state_number'))
        batch_op.drop_index(batch_op.f('ix_jobs_model_number'))

    op.drop_table('jobs')
