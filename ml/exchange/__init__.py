"""Models from elsewhere and for elsewhere.

    onefile      an artifact as one safetensors file, which says all of itself in its header
    brought      a state_dict and what is said of it become a bundle
    foreign      names of other people's state_dicts -> architecture and its own names; torch-free
    sandbox      reads a file of unknown origin in a process that can do nothing else
    unpickling   that process
    confinement  takes from a process what a reader of files does not need
    graph        a bundle as one graph from raw x to raw y: torch.export and ONNX
    sample       rows to compare two predictors on, and how far apart they may be
    checking     loads what was written and predicts, in a process of its own
    names        what the files of an export are called
    card         MODEL_CARD.md
    export       a folder with all of it, each file checked

Axes: N rows, F features, T targets.
"""
