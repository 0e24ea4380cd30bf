"""Other people's names become ours, with the same predictions, or are refused with the reason."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ml.errors import ExchangeError
from ml.exchange.brought import bundle_of
from ml.exchange.foreign import ACTIVATIONS, Recognised, recognise
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.exchange import ImportSpec
from ml.spec.model import MlpSpec
from tests.ml.making import CPU


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {key: values.numpy() for key, values in module.state_dict().items()}


def predict(found: Recognised, x_NF: torch.Tensor) -> torch.Tensor:
    spec = ImportSpec.model_validate({"architecture": found.architecture})
    state = {key: torch.from_numpy(values.copy()) for key, values in found.state.items()}
    return Predictor(bundle_of(spec, state), CPU).predict(x_NF)


def refusal(module: nn.Module, kind: str | None = None, activation: str | None = "relu") -> str:
    with pytest.raises(ExchangeError) as caught:
        recognise(arrays(module), kind, activation)
    return str(caught.value)


class Tutorial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.7]))
        self.bias = nn.Parameter(torch.tensor([0.3]))


class Named(nn.Module):
    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


def test_the_tutorial_s_two_models_are_known_by_their_names() -> None:
    assert recognise(arrays(Tutorial())).architecture == {"kind": "parameters"}
    second = Named(linear_layer=nn.Linear(1, 1))
    assert recognise(arrays(second)).architecture == {"kind": "linear"}


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2)),
        Named(linear_layer=nn.Linear(3, 2)),
        Named(net=nn.Sequential(nn.Flatten(), nn.Linear(3, 2))),
    ],
)
def test_any_single_linear_layer_is_linear(module: nn.Module) -> None:
    x_NF = torch.randn(5, 3)
    found = recognise(arrays(module))
    (layer,) = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert torch.allclose(predict(found, x_NF), layer(x_NF).detach(), atol=1e-6)
    asked = recognise(arrays(module), "linear")
    assert torch.equal(predict(asked, x_NF), predict(found, x_NF))


def test_a_layer_of_one_number_may_be_called_parameters() -> None:
    found = recognise(arrays(nn.Linear(1, 1)), "parameters")
    assert {key: values.shape for key, values in found.state.items()} == {
        "weights": (1,),
        "bias": (1,),
    }


MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}
MODULES["sigmoid"] = nn.Sigmoid


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", [False, True])
def test_a_sequential_is_an_mlp_with_the_same_predictions(activation: str, norm: bool) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for takes, gives in ((3, 8), (8, 4)):
        layers.append(nn.Linear(takes, gives))
        layers += [nn.BatchNorm1d(gives)] if norm else []
        layers += [MODULES[activation](), nn.Dropout(0.5)]
    net = nn.Sequential(*layers, nn.Linear(4, 2))
    net(torch.randn(50, 3) * 3)
    net.eval()
    found = recognise(arrays(net), activation=activation)
    assert found.architecture["hidden"] == [8, 4]
    assert found.architecture.get("batch_norm", False) == norm
    assert found.notes == ()
    x_NF = torch.randn(6, 3)
    assert torch.allclose(predict(found, x_NF), net(x_NF).detach(), atol=1e-6)


def test_named_layers_are_taken_in_their_order_and_what_is_guessed_is_told() -> None:
    module = Named(fc1=nn.Linear(3, 8), fc2=nn.Linear(8, 1))
    found = recognise(arrays(module), "mlp", "tanh")
    told = "nothing in the file tells that tanh stands between fc1 and fc2"
    assert found.notes == (told,)
    x_NF = torch.randn(4, 3)
    fc1, fc2 = module.get_submodule("fc1"), module.get_submodule("fc2")
    wanted = fc2(torch.tanh(fc1(x_NF))).detach()
    assert torch.allclose(predict(found, x_NF), wanted, atol=1e-6)


@pytest.mark.parametrize("norm", [False, True])
def test_our_own_mlp_keeps_its_names(norm: bool) -> None:
    spec: dict[str, Any] = {"kind": "mlp", "hidden": [5, 4], "activation": "silu"}
    spec |= {"batch_norm": True} if norm else {}
    module = build_model(MlpSpec.model_validate(spec), 3, 1)
    found = recognise(arrays(module), activation="silu")
    assert found.architecture == spec
    assert found.state.keys() == module.state_dict().keys()


def test_the_keys_of_an_installed_architecture_are_its_own_affair() -> None:
    state = arrays(nn.Conv1d(1, 1, 3))
    assert recognise(state, "wave").architecture == {"kind": "wave"}
    assert recognise(state, "wave").state.keys() == state.keys()


def test_what_the_file_does_not_tell_is_asked_for() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    told = refusal(net, activation=None)
    assert "does not tell its activation" in told
    assert all(activation in told for activation in ACTIVATIONS)
    assert "do not tell the architecture: name it" in refusal(nn.Conv1d(1, 1, 3))


@pytest.mark.parametrize(
    ("module", "kind", "words"),
    [
        (Tutorial(), "linear", "these are of architecture parameters"),
        (nn.Linear(2, 1), "parameters", "weights and bias, of one number"),
        (nn.Linear(2, 1, bias=False), "linear", "one weight of two axes and one bias"),
        (nn.Linear(2, 1), "mlp", "two nn.Linear at least"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), None, "no activation between 0 and 1"),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1)),
            None,
            "0 gives 3 numbers and 2 takes 4",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 1)),
            None,
            "batch norm 2 must stand right behind 0",
        ),
        (
            nn.Sequential(
                *(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()),
                *(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)),
            ),
            None,
            "behind every hidden layer of an mlp, or behind none",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.BatchNorm1d(1)),
            None,
            "behind every hidden layer of an mlp, or behind none",
        ),
        (
            Named(fc1=nn.Linear(2, 3), bn=nn.BatchNorm1d(3), fc2=nn.Linear(3, 1)),
            None,
            "batch norm bn must stand right behind fc1 in an nn.Sequential",
        ),
        (
            nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.LayerNorm(3), nn.Linear(3, 1)),
            "mlp",
            "2 is neither an nn.Linear",
        ),
        (
            nn.Sequential(OrderedDict(a=nn.Conv1d(1, 1, 3), b=nn.Linear(1, 1))),
            "mlp",
            "a is neither an nn.Linear",
        ),
    ],
)
def test_what_is_none_of_them_is_refused_with_the_layer(
    module: nn.Module, kind: str | None, words: str
) -> None:
    assert words in refusal(module, kind)
