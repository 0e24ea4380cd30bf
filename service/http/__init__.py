"""Between the socket and the application: connections, their deadlines, and the plain road.

heads        requests like one that was seen before, told by their first bytes
turn         plain predictions of one turn of the event loop, answered together
inferences   inferences by the protocol v2, each answered as soon as it is there
tensors      the JSON before a tensor, told by its bytes
numbers      inferences whose numbers are JSON, read without pydantic
held         the beginning of a request whose body has not come in full
protocol     uvicorn's protocol, with deadlines and the plain road
connections  the budget of connections; closes those whose client is too slow
accept       takes connections one at a time, so that they spread over the workers
loads        how many connections each worker has, in shared memory
server       uvicorn's server: ends without failing a request
"""
