"""Refit's service: jobs, versions and predictions over HTTP, on top of `ml`.

settings        what the environment may say
entities        jobs, versions, deployments as plain frozen records
errors          what can go wrong, with stable codes; HTTP statuses live in api/errors.py
durable         folders that are still there after a power cut
schemas/        wire types
store/          the only rooms that know SQL
artifacts/      the only rooms that know bytes at rest
datasets/       files of rows that people sent, kept by their content
registry/       versions, activation, rollback, the promotion rule
jobs/           submit, list, cancel; the supervisor and the training process
remote/         what the clients are made of: requests as values, retries, server-sent events
serving/        predictors in a web process and how a new version reaches them
fits            what a version answers for the rows it was made from
pictures        figures of a job
client          Client and AsyncClient, for Python programs that speak to a service
dashboard/      the page that a browser shows
api/            HTTP only
http/           between the socket and the application
processes/      the process tree: parent, web workers, supervisor
observability/  logs
wiring          builds all of it from settings
commands/       the commands of `refit`
cli             one application of them: `refit …`, `python -m service …`

Import from the module that defines a name; this package exports nothing.
"""
