"""Predictors in a web process.

pool        the predictors loaded in this process
rollout     brings new active versions into the pool, and says so
bell        wakes coroutines that wait for rows to change
params      parameters in raw units, beside the truth
rows        the rows of a request: JSON or CSV, numbers and categories
tensors     tensors of the Open Inference Protocol: what a model takes, what a request holds
tensor_rows the rows of such a request
named       rows of numbers by feature name, read as arrays
plain       numbers in, numbers out: read and written as arrays
light       what is answered on the event loop
work        what is done beside the event loop: bounded, and joined
heap        what the allocator keeps of large requests
inference   answers a prediction: which version, and which errors
"""
