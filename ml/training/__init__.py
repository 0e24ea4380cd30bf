"""The training of one model; only the training process imports this package.

    losses          the table of losses
    optimizers      the table of optimizers
    loop            the only train/test loop
    evaluate        metrics in raw units, the least-squares optimum
    fit             one training from spec to result, turned step by step

Axes: N rows, F features, T targets, B rows of one batch.
"""
