"""Modules and specs that people might bring: sound ones, and one for each possible mistake."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from ml.models.architecture import RegressionModel
from ml.spec.architecture import ArchitectureBase


class NetSpec(ArchitectureBase):
    """One number for each feature and target, and one for each target."""

    module: ClassVar[str] = "tests.ml.nets:Net"
    kind: Literal["net"] = "net"

    def parameter_count(self, features: int, targets: int) -> int:
        return features * targets + targets


class Net(nn.Module):
    """A module of one layer that knows nothing of Refit."""

    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = self.layer(x_NF)
        return y_NT


class Replayed(RegressionModel):
    """Two layers, replayed; its spec is not asked for anything."""

    same_calls_at_every_step = True
    steps: torch.Tensor

    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, 8)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.second = nn.Linear(8, targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
        y_NT: torch.Tensor = self.second(torch.sin(self.first(x_NF)))
        return y_NT


class ReplayedSpec(NetSpec):
    module: ClassVar[str] = "tests.ml.nets:Replayed"

    def parameter_count(self, features: int, targets: int) -> int:
        return features * 8 + 8 + 8 * targets + targets


class Plain(Replayed):
    """The same, stepped plainly."""

    same_calls_at_every_step = False


class PlainSpec(ReplayedSpec):
    module: ClassVar[str] = "tests.ml.nets:Plain"


class Branches(Replayed):
    """Takes another way by the numbers that it is given, and claims that it does not."""

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        hidden_NH = self.first(x_NF)
        bent_NH = hidden_NH.sin() if bool(hidden_NH.mean() > 0) else hidden_NH.cos()
        y_NT: torch.Tensor = self.second(bent_NH)
        return y_NT


class BranchesSpec(ReplayedSpec):
    module: ClassVar[str] = "tests.ml.nets:Branches"


class Frozen(Replayed):
    """Has a parameter that is not trained."""

    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.first.bias.requires_grad_(False)


class FrozenSpec(ReplayedSpec):
    module: ClassVar[str] = "tests.ml.nets:Frozen"


class Unused(Replayed):
    """Has a parameter that has no part in the answer."""

    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.spare = nn.Parameter(torch.ones(5))


class UnusedSpec(ReplayedSpec):
    module: ClassVar[str] = "tests.ml.nets:Unused"

    def parameter_count(self, features: int, targets: int) -> int:
        return super().parameter_count(features, targets) + 5


class RaisesWhenMade(Net):
    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        raise ValueError("there is no tide\nin this lake")


class RaisesWhenAsked(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        raise KeyError("moon")


class RaisesInTraining(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise KeyError("sun")
        return super().forward(x_NF)


class Squeezes(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF).squeeze()


class SqueezesOneRow(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF).squeeze(0)


class GivesATuple(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF), x_NF  # type: ignore[return-value]


class GivesDoubles(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF).double()


class HasOneMore(Net):
    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.more = nn.Parameter(torch.zeros(1))


class IsLazy(Net):
    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.layer = nn.LazyLinear(targets)


class HasNothingToTrain(Net):
    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        del self.layer


class TrainsNothing(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF).detach()


class KeepsNumbersAside(Net):
    """Draws numbers that no version would keep."""

    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.aside = torch.randn(targets)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NF) + self.aside


class NeverAnswersAlike(Net):
    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        y_NT: torch.Tensor = nn.functional.dropout(super().forward(x_NF), training=True)
        return y_NT


class HoldsInfinity(Net):
    def __init__(self, spec: ArchitectureBase, features: int, targets: int) -> None:
        super().__init__(spec, features, targets)
        self.register_buffer("mask", torch.tensor([-torch.inf]))


class KeepsWords(Net):
    def get_extra_state(self) -> dict[str, str]:
        return {"said": "hello"}

    def set_extra_state(self, state: object) -> None:
        pass


NOT_A_MODULE = 3
