"""The training of one model; only the training process imports this package.

    losses          the table of losses
    optimizers      the table of optimizers
    schedules       learning rates that change while training
    parts           the rows as the loop takes them: in memory, or block by block from disk
    loop            the only train/test loop
    stepper         one step: plain, or replayed with the same bits
    replay          forward and backward as straight-line ATen calls
    recorder        notes the ATen calls of a step
    writer          writes them out as a Python function, in memory that stays
    overloads       by which overload a recorded call is made again
    updates         SGD, Adam and AdamW over all parameters at once
    evaluate        metrics in raw units
    optimum         the least-squares optimum, and how far a model is from it
    caveats         what a person should know of a training, in words
    sense           whether what came out makes sense
    environment     what the numbers of a training depend on beside its spec
    state           tensors and random numbers, as a training that goes on has to find them
    place           where a training is between two steps
    stopping        early stopping
    checkpoint      a training as bytes, from which it goes on elsewhere
    fit             one training from spec to result, turned step by step

Axes: N rows, F features, T targets, B rows of one batch.
"""
