"""One file a noun: train, jobs, predict, params, models, health, index."""
