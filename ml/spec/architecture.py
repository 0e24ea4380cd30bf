"""The base of every architecture's spec: what an architecture says of itself without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ml.spec.base import Spec


class ArchitectureBase(Spec, ABC):
    """How a module is asked for: a `kind`, and the fields that a request may set.

    A subclass narrows ``kind`` to one literal, names its ``module`` and counts its parameters; the
    rest has defaults. `docs/architectures.md` shows how to bring your own.
    """

    module: ClassVar[str]
    """Where the `nn.Module` is, as `package.module:Class`. A name, and imported only when a model
    is built, so that specs stay free of torch. See `ml.models.build` for how it is called."""
    linear: ClassVar[bool] = False
    """Whether y is linear in x: real rows are then fitted by L-BFGS without early stopping, and
    the least-squares optimum stands beside what was learned."""

    kind: str
    """Which architecture."""

    @abstractmethod
    def parameter_count(self, features: int, targets: int) -> int:
        """How many numbers its `nn.Parameter` hold; priced before anything of that size is made."""

    @property
    def hidden_units(self) -> int:
        """Units between the features and the targets, over all layers; held to a bound."""
        return 0

    @property
    def needs_two_rows(self) -> bool:
        """Whether it cannot be trained on a batch of one row, as batch norm cannot."""
        return False

    def refusal(self, features: int, targets: int) -> str | None:
        """Why there is no such module of that shape, as a sentence; None where there is."""
        return None
