"""The commands of `refit`; `service.cli` makes one application of them.

serving      serve, health, and `part`, which the parent of the process tree starts
training     train
predicting   predict
jobs         jobs
versions     params, versions, activate, rollback
exchange     import, export
bench        bench; load does the measuring
options      options that several commands take, and completion of names
reach        a client for the service that is meant; errors as one line and an exit code
private      a service of one's own on a data folder, for the time of one command
following    a job, live on the screen
output       tables for people, JSON for programs

Nothing heavy is imported before a command runs: `refit --help` needs a fifth of a second.
"""
