"""Small makers shared by the tests of `ml`."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import settings

from ml.artifact import Bundle
from ml.data.scaling import Scaling
from ml.models.build import build_model
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from ml.spec.training import TrainingSpec

CPU = torch.device("cpu")

quick = settings(deadline=None, max_examples=60)
"""No deadline: the machine is shared. Sixty examples keep the suite under a minute."""

ARCHITECTURES: tuple[ParametersSpec | LinearSpec | MlpSpec, ...] = (
    ParametersSpec(),
    LinearSpec(),
    MlpSpec(hidden=(5, 4), activation="tanh", batch_norm=True),
)
"""Each kind once, the MLP with every sort of state that it can have."""


def spec(**fields: Any) -> TrainingSpec:
    """A TrainingSpec of plain values, checked as a request is."""
    return TrainingSpec.model_validate(fields)


def points(x: Any, y: Any, **fields: Any) -> TrainingSpec:
    """A training on the points given."""
    return spec(data={"source": "points", "x": x, "y": y}, **fields)


def scaling(features: int = 1, targets: int = 1) -> Scaling:
    """A scaling that is far from the identity."""
    return Scaling(
        torch.linspace(-3, 5, features, dtype=torch.float64),
        torch.linspace(0.5, 4, features, dtype=torch.float64),
        torch.linspace(10, 20, targets, dtype=torch.float64),
        torch.linspace(2, 7, targets, dtype=torch.float64),
    )


def bundle(
    architecture: ParametersSpec | LinearSpec | MlpSpec,
    features: int = 1,
    targets: int = 1,
    scaled: Scaling | None = None,
    seed: int = 0,
) -> Bundle:
    """An untrained bundle; batch norm, if any, has statistics that are not the initial ones."""
    torch.manual_seed(seed)
    model = build_model(architecture, features, targets)
    with torch.no_grad():
        model.train()(torch.randn(16, features))
    return Bundle(
        architecture,
        tuple(f"x{i}" for i in range(features)),
        tuple(f"y{i}" for i in range(targets)),
        scaled,
        {key: values.detach().clone() for key, values in model.state_dict().items()},
    )
