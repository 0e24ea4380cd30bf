"""HTTP only.

app         the application from its parts
state       what the requests of one process share
body        bodies: bounded, typed, strict
upload      bodies that go to disk as they come
prefer      the headers Prefer and Idempotency-Key
errors      every problem+json is made here
middleware  counting, request ids and traces, bugs as problems, HEAD
scrape      what one scrape of /metrics tells
params      parameters of paths and queries
waiting     wait for a job or for every worker, as `Prefer: wait` asks
render      records of the service -> wire types
openapi     what /openapi.json says beyond what FastAPI finds
routes/     one file a noun
"""
