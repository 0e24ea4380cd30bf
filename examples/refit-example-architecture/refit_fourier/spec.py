"""What may be asked of the architecture `fourier`. Free of torch: every process imports it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ml.spec.architecture import ArchitectureBase
from ml.spec.base import Number


class FourierSpec(ArchitectureBase):
    """A sum of random cosine waves: a smooth function of x, found without hidden layers.

    Rahimi and Recht, Random Features for Large-Scale Kernel Machines, 2007.
    """

    module: ClassVar[str] = "refit_fourier.module:FourierFeatures"

    kind: Literal["fourier"] = "fourier"
    waves: Annotated[int, Field(ge=1)] = 256
    """How many waves are summed; only their heights are learned."""
    length_scale: Annotated[Number, Field(gt=0)] = 0.5
    """How far apart two x must lie to have little to do with each other, in each feature and in
    standard deviations where the training standardizes. Shorter follows finer detail, and noise."""

    def parameter_count(self, features: int, targets: int) -> int:
        return self.waves * targets + targets

    @property
    def hidden_units(self) -> int:
        return self.waves
