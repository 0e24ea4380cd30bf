"""The training of one model; only the training process imports this package.

    losses          the table of losses
    optimizers      the table of optimizers
    loop            the only train/test loop
    stepper         one step: plain, or replayed with the same bits
    replay          forward and backward as straight-line ATen calls
    updates         SGD, Adam and AdamW without torch.optim's checks
    evaluate        metrics in raw units, the least-squares optimum
    fit             one training from spec to result, turned step by step

Axes: N rows, F features, T targets, B rows of one batch.
"""
