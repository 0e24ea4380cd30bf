"""What every architecture promises, and the formulas of each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ml.models.architecture import RegressionModel
from ml.models.build import build_model, line_of, raw_state_dict
from ml.models.linear import LinearRegressionModelV2
from ml.models.mlp import ACTIVATIONS
from ml.models.parameters import LinearRegressionModel
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from tests.ml import tutorial
from tests.ml.making import ARCHITECTURES, bundle, scaling

Spec = ParametersSpec | LinearSpec | MlpSpec


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda spec: spec.kind)
class TestEveryArchitecture:
    def test_maps_rows_to_rows(self, architecture: Spec) -> None:
        model = build_model(architecture, 1, 1).eval()
        y_N1 = model(torch.randn(7, 1))
        assert (y_N1.shape, y_N1.dtype) == ((7, 1), torch.float32)

    def test_draws_from_the_global_generator_alone(self, architecture: Spec) -> None:
        states = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            model = build_model(architecture, 1, 1)
            states.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])

    def test_raw_state_has_the_same_keys_shapes_and_dtypes(self, architecture: Spec) -> None:
        state = bundle(architecture).state
        raw = raw_state_dict(architecture, state, scaling())
        assert {k: (v.shape, v.dtype) for k, v in raw.items()} == {
            k: (v.shape, v.dtype) for k, v in state.items()
        }

    def test_folding_does_not_change_the_state_it_is_given(self, architecture: Spec) -> None:
        state = bundle(architecture).state
        before = {key: values.clone() for key, values in state.items()}
        raw_state_dict(architecture, state, scaling())
        assert all(torch.equal(state[key], before[key]) for key in before)

    def test_line_is_the_models_own_formula(self, architecture: Spec) -> None:
        state = bundle(architecture).state
        line = line_of(architecture, state)
        if architecture.kind == "mlp":
            assert line is None
            return
        assert line is not None
        model = build_model(architecture, 1, 1)
        model.load_state_dict(state)
        x_N1 = torch.linspace(-2, 2, 9)[:, None]
        torch.testing.assert_close(model(x_N1).detach(), x_N1 @ line.weight_TF.T + line.bias_T)


@pytest.mark.parametrize("kind", ["parameters", "linear"])
def test_the_first_parameters_are_the_tutorials(kind: str) -> None:
    torch.manual_seed(42)
    theirs = tutorial.CLASSES[kind]()
    torch.manual_seed(42)
    ours = build_model(ParametersSpec() if kind == "parameters" else LinearSpec(), 1, 1)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, values in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], values)


def test_keys_of_the_state_dicts() -> None:
    assert list(LinearRegressionModel().state_dict()) == ["weights", "bias"]
    linear = LinearRegressionModelV2(3, 2).state_dict()
    assert {key: tuple(values.shape) for key, values in linear.items()} == {
        "linear_layer.weight": (2, 3),
        "linear_layer.bias": (2,),
    }


def test_line_of_several_features_and_targets() -> None:
    linear = bundle(LinearSpec(), 3, 2)
    line = line_of(LinearSpec(), linear.state)
    assert line is not None
    assert (line.weight_TF.shape, line.bias_T.shape) == ((2, 3), (2,))


def test_mlp_is_layer_by_layer_what_it_says() -> None:
    spec = MlpSpec(hidden=(4, 3), activation="tanh")
    model = build_model(spec, 2, 1)
    state = model.state_dict()
    x_NF = torch.randn(6, 2)
    hidden = torch.tanh(x_NF @ state["hidden.0.linear.weight"].T + state["hidden.0.linear.bias"])
    hidden = torch.tanh(hidden @ state["hidden.1.linear.weight"].T + state["hidden.1.linear.bias"])
    wanted = hidden @ state["output.weight"].T + state["output.bias"]
    torch.testing.assert_close(model(x_NF), wanted)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_mlp_has_the_activation_batch_norm_and_dropout_asked_for(name: str) -> None:
    spec = MlpSpec.model_validate(
        {"hidden": [4, 3], "activation": name, "batch_norm": True, "dropout": 0.25}
    )
    modules = list(build_model(spec, 2, 1).modules())
    assert sum(type(module) is type(ACTIVATIONS[name]()) for module in modules) == 2
    assert [m.num_features for m in modules if isinstance(m, nn.BatchNorm1d)] == [4, 3]
    assert [m.p for m in modules if isinstance(m, nn.Dropout)] == [0.25, 0.25]


def test_mlp_without_batch_norm_and_dropout_has_none() -> None:
    modules = list(build_model(MlpSpec(), 2, 1).modules())
    assert not any(isinstance(module, nn.BatchNorm1d | nn.Dropout) for module in modules)


def test_every_model_is_a_regression_model() -> None:
    assert all(isinstance(build_model(spec, 1, 1), RegressionModel) for spec in ARCHITECTURES)
