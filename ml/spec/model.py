"""Which architecture: two `nn.Parameter`, one `nn.Linear`, a multilayer perceptron, or one that an
installed package brings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from ml.spec.architecture import ArchitectureBase
from ml.spec.plugins import Architecture, find_architectures


class ParametersSpec(ArchitectureBase):
    """Two `nn.Parameter`, `weights` and `bias`: one feature, one target."""

    module: ClassVar[str] = "ml.models.parameters:LinearRegressionModel"
    linear: ClassVar[bool] = True

    kind: Literal["parameters"] = "parameters"

    def parameter_count(self, features: int, targets: int) -> int:
        return 2

    def refusal(self, features: int, targets: int) -> str | None:
        if (features, targets) == (1, 1):
            return None
        return (
            f"`parameters` takes one feature and one target, the data has {features} and "
            f"{targets}; use `linear`"
        )


class LinearSpec(ArchitectureBase):
    """One `nn.Linear(F, T)`, as `linear_layer`."""

    module: ClassVar[str] = "ml.models.linear:LinearRegressionModelV2"
    linear: ClassVar[bool] = True

    kind: Literal["linear"] = "linear"

    def parameter_count(self, features: int, targets: int) -> int:
        return features * targets + targets


class MlpSpec(ArchitectureBase):
    """Hidden layers of `nn.Linear`, batch norm, activation and dropout; then one `nn.Linear`."""

    module: ClassVar[str] = "ml.models.mlp:Mlp"

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

    @property
    def hidden_units(self) -> int:
        return sum(self.hidden)

    @property
    def needs_two_rows(self) -> bool:
        return self.batch_norm


BUILT_IN: tuple[Architecture, ...] = (ParametersSpec, LinearSpec, MlpSpec)

ARCHITECTURES: Mapping[str, Architecture] = find_architectures(BUILT_IN)
"""The spec class of each kind that can be asked for here: built in, or installed beside Refit."""

if TYPE_CHECKING:
    ArchitectureSpec = ArchitectureBase
else:
    # What is installed is known at run time only.
    ArchitectureSpec = Annotated[
        Union[tuple(ARCHITECTURES.values())],  # noqa: UP007
        Field(discriminator="kind"),
    ]


def not_installed(kind: str) -> str:
    """The sentence for a kind that is none here."""
    return (
        f"architecture {kind[:64]!r} is not installed here (there are {', '.join(ARCHITECTURES)}): "
        "install the package that brings it"
    )


def is_linear(kind: object) -> bool:
    """Whether models of that kind are linear; of what is no kind, nothing is held against it."""
    spec = ARCHITECTURES.get(kind) if isinstance(kind, str) else None
    return spec is None or spec.linear
