"""One `nn.Module` per file, and the way from a spec to its module, installed ones included.

    architecture   what an architecture may offer beside its module
    parameters     two `nn.Parameter`
    linear         one `nn.Linear`
    mlp            multilayer perceptron
    rowwise        linear maps whose answer for a row does not depend on the rows beside it
    ordered        those of several targets: sums feature by feature
    build          spec -> module, wherever its class is
    check          does a person's own module keep what the rest counts on?

Axes: N rows, F features, T targets.
"""
