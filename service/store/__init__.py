"""The only rooms that know SQL: SQLite or Postgres by URL.

tables        the schema
database      engine, transactions, pragmas
watch         what a loop asks at every turn
patience      how long a Postgres that stands still is waited for
jobs          JobStore: jobs and their events
job_rows      their rows as records
keys          KeyStore: idempotency keys
datasets      DatasetStore: what is known of each dataset
versions      VersionStore: models and versions
deployments   DeploymentStore: which version is active, and the history of it
workers       WorkerStore: web processes and what they have loaded
migrate       bring the schema up to date
migrations/   Alembic's scripts
"""
