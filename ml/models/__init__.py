"""One `nn.Module` per file, and the table that knows them all.

    architecture   what every architecture offers beside its module
    parameters     two `nn.Parameter`
    linear         one `nn.Linear`
    mlp            multilayer perceptron
    build          the table: spec -> module

Axes: N rows, F features, T targets.
"""
