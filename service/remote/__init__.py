"""What the clients of `service.client` are made of; nothing here reads or writes a socket but
driving.

errors    the tree of errors, one class for each code of the service
steps     what a client does next, as values; when a call is tried again
calls     one request and how its answer is read, for each endpoint
rows      numbers, lists, arrays and frames -> bodies, and predictions back in the same kind
frames    data frames of pandas and polars, told by what they can do
training  what a training is asked, from what a person has in hand
uploads   files and frames as datasets
sse       server-sent events, from bytes
follow    the life of a job: wait for its end, follow its events
driving   does the steps, blocking or not
handles   Job and AsyncJob
async_client  AsyncClient; `Client` stands in `service.client`
downloads     weights as files

Import from `service.client`.
"""
