"""The table of architectures: spec -> module."""

from __future__ import annotations

from ml.data.scaling import Scaling
from ml.models.architecture import Line, RegressionModel, StateDict
from ml.models.linear import LinearRegressionModelV2
from ml.models.mlp import Mlp
from ml.models.parameters import LinearRegressionModel
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec

_CLASSES: dict[str, type[RegressionModel]] = {
    "parameters": LinearRegressionModel,
    "linear": LinearRegressionModelV2,
    "mlp": Mlp,
}


def build_model(
    spec: ParametersSpec | LinearSpec | MlpSpec, features: int, targets: int
) -> RegressionModel:
    """A new module on the CPU, its parameters drawn from torch's global generator."""
    match spec:
        case ParametersSpec():
            return LinearRegressionModel()
        case LinearSpec():
            return LinearRegressionModelV2(features, targets)
        case MlpSpec():
            return Mlp(spec, features, targets)


def raw_state_dict(
    spec: ParametersSpec | LinearSpec | MlpSpec, state: StateDict, scaling: Scaling | None
) -> StateDict:
    """``state`` on the CPU, with the scaling (if any) folded into the parameters."""
    state = {key: values.detach().cpu() for key, values in state.items()}
    return state if scaling is None else _CLASSES[spec.kind].in_raw_units(state, scaling)


def line_of(spec: ParametersSpec | LinearSpec | MlpSpec, raw_state: StateDict) -> Line | None:
    """Weight and bias of a state_dict in raw units; None where the model is not linear."""
    return _CLASSES[spec.kind].line(raw_state)
