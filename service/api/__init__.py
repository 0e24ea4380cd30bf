"""HTTP only.

app         the application from its parts
state       what the requests of one process share
body        bodies: bounded, typed, strict
v2_body     bodies of /v2: JSON, the bytes of tensors behind it, compressed or not
inferring   inferences of /v2, from a body to its answer, by either road
upload      bodies that go to disk as they come
prefer      the headers Prefer and Idempotency-Key
counting    counts predictions, whatever their protocol
errors      every problem+json is made here
faults      what pydantic says of a body, as faults with JSON pointers
cross_site  other sites' pages may change nothing
middleware  counting, request ids and traces, bugs as problems, HEAD
scrape      what one scrape of /metrics tells
params      parameters of paths and queries
waiting     wait for a job or for every worker, as `Prefer: wait` asks
render      records of the service -> wire types
render_v2   the same in the words of the Open Inference Protocol v2
openapi     what /openapi.json says beyond what FastAPI finds
routes/     one file a noun
"""
