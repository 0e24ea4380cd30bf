"""Which architecture: two `nn.Parameter`, one `nn.Linear`, or a multilayer perceptron."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from ml.spec.base import Spec


class ParametersSpec(Spec):
    """Two `nn.Parameter`, `weights` and `bias`: one feature, one target."""

    kind: Literal["parameters"] = "parameters"

    def parameter_count(self, features: int, targets: int) -> int:
        return 2


class LinearSpec(Spec):
    """One `nn.Linear(F, T)`, as `linear_layer`."""

    kind: Literal["linear"] = "linear"

    def parameter_count(self, features: int, targets: int) -> int:
        return features * targets + targets


class MlpSpec(Spec):
    """Hidden layers of `nn.Linear`, batch norm, activation and dropout; then one `nn.Linear`."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(strict=False, min_length=1, max_length=64, fail_fast=True),
    ] = (64, 64)
    """Units of each hidden layer, from the input on."""
    activation: Literal["relu", "tanh", "gelu", "silu", "sigmoid"] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a hidden unit is dropped while training."""
    batch_norm: bool = False

    def parameter_count(self, features: int, targets: int) -> int:
        widths = (features, *self.hidden, targets)
        weights_and_biases = sum(a * b + b for a, b in pairwise(widths))
        return weights_and_biases + (2 * sum(self.hidden) if self.batch_norm else 0)


ArchitectureSpec = Annotated[ParametersSpec | LinearSpec | MlpSpec, Field(discriminator="kind")]
