"""Predictors in a web process.

pool        the predictors loaded in this process
rollout     brings new active versions into the pool, and says so
params      parameters in raw units, beside the truth
inference   answers a prediction: which version, which rows, which errors
"""
