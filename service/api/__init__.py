"""HTTP only.

app         the application from its parts
state       what the requests of one process share
body        bodies: bounded, typed, strict
prefer      the headers Prefer and Idempotency-Key
errors      every problem+json is made here
middleware  request ids, and bugs as problems
render      records of the service -> wire types
routes/     one file a noun
"""
