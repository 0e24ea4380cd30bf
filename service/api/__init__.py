"""HTTP only.

app         the application from its parts
state       what the requests of one process share
body        bodies: bounded, typed, strict
upload      bodies that go to disk as they come
prefer      the headers Prefer and Idempotency-Key
errors      every problem+json is made here
faults      what pydantic says of a body, as faults with JSON pointers
middleware  request ids, bugs as problems, HEAD
params      parameters of paths and queries
waiting     wait for a job or for every worker, as `Prefer: wait` asks
render      records of the service -> wire types
openapi     what /openapi.json says beyond what FastAPI finds
routes/     one file a noun
"""
