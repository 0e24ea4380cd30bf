"""Models of installed architectures come in too, and are tried before anything is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ml.errors import ExchangeError
from ml.exchange.brought import bundle_of
from ml.models.build import build_model
from ml.predictor import Predictor
from ml.spec.architecture import ArchitectureBase
from ml.spec.exchange import ImportSpec
from tests.ml.making import CPU
from tests.ml.nets import NetSpec


def described(architecture: ArchitectureBase, **fields: Any) -> ImportSpec:
    """As a request would give it, were the architecture installed."""
    plain = ImportSpec.model_validate({"architecture": {"kind": "linear"}, **fields})
    return plain.model_copy(update={"architecture": architecture})


NAMES = {"feature_names": ["a", "b"], "target_names": ["y"]}


def test_a_module_of_somebody_s_own_comes_in() -> None:
    module = build_model(NetSpec(), 2, 1)
    made = bundle_of(described(NetSpec(), **NAMES), module.state_dict())
    x_NF = torch.randn(4, 2)
    with torch.inference_mode():
        assert torch.equal(Predictor(made, CPU).predict(x_NF), module(x_NF))


def test_what_its_state_dict_does_not_tell_must_be_named() -> None:
    state = build_model(NetSpec(), 2, 1).state_dict()
    with pytest.raises(ExchangeError, match="of net does not tell its features and targets"):
        bundle_of(described(NetSpec()), state)


class CountsWrongSpec(NetSpec):
    """Tells of fewer parameters than its module has."""

    def parameter_count(self, features: int, targets: int) -> int:
        return 1


class GoneSpec(NetSpec):
    module = "tests.ml.nets:Nowhere"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (CountsWrongSpec(), "its spec's parameter_count says 1"),
        (GoneSpec(), "tests.ml.nets:Nowhere"),
    ],
)
def test_an_architecture_that_cannot_be_used_is_told(spec: NetSpec, words: str) -> None:
    state = build_model(NetSpec(), 2, 1).state_dict()
    with pytest.raises(ExchangeError) as caught:
        bundle_of(described(spec, **NAMES), state)
    assert words in str(caught.value)
