"""Predictors in a web process.

pool        the predictors loaded in this process
rollout     brings new active versions into the pool, and says so
params      parameters in raw units, beside the truth
rows        the rows of a request: JSON or CSV, numbers and categories
tensors     tensors of the Open Inference Protocol: what a model takes, what a request holds
tensor_rows the rows of such a request
inference   answers a prediction: which version, and which errors
"""
