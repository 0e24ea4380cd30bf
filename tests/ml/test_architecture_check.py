"""A person's own module is tried before it is trained, and what is wrong is said."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from ml.errors import ArchitectureError, PluginError
from ml.models.build import build_blank, build_model, can_fold, line_of, raw_state_dict
from ml.models.check import check_architecture
from ml.spec.architecture import ArchitectureBase
from tests.ml import nets
from tests.ml.making import ARCHITECTURES, scaling

SOUND = (
    *ARCHITECTURES,
    nets.NetSpec(),
    nets.ReplayedSpec(),
    nets.PlainSpec(),
    nets.BranchesSpec(),
    nets.FrozenSpec(),
    nets.UnusedSpec(),
)


def spec_of(name: str) -> ArchitectureBase:
    """A spec whose module is that class of `nets`."""

    class Spec(nets.NetSpec):
        module: ClassVar[str] = f"tests.ml.nets:{name}"

    return Spec()


@pytest.mark.parametrize("spec", SOUND, ids=lambda spec: type(spec).__name__)
def test_what_is_sound_passes_and_no_generator_moves(spec: ArchitectureBase) -> None:
    before = torch.get_rng_state()
    check_architecture(spec, 1, 1)
    build_blank(spec, 1, 1)
    assert torch.equal(torch.get_rng_state(), before)
    if spec.refusal(4, 3) is None:
        check_architecture(spec, 4, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "RaisesWhenMade",
            "making RaisesWhenMade for 2 features and 1 targets raised "
            "ValueError: there is no tide",
        ),
        ("RaisesWhenAsked", "in evaluation mode, given 3 × 2 numbers, raised KeyError: 'moon'"),
        ("RaisesInTraining", "in training mode, given 3 × 2 numbers, raised KeyError: 'sun'"),
        ("Squeezes", r"in evaluation mode gave \(3,\) where the shape \(3, 1\) is wanted"),
        ("SqueezesOneRow", r"in evaluation mode gave \(1,\) where the shape \(1, 1\) is wanted"),
        ("GivesATuple", "in evaluation mode gave tuple where"),
        ("GivesDoubles", "gave torch.float64 where torch.float32 is wanted"),
        ("HasOneMore", "has 4 parameters, its spec's parameter_count says 3"),
        ("IsLazy", "knows its shapes only after a first forward"),
        ("HasNothingToTrain", "has no parameter to train"),
        ("TrainsNothing", "no parameter has a part in"),
        ("KeepsNumbersAside", "keep every number that forward uses in a parameter or a buffer"),
        ("NeverAnswersAlike", "draw none in evaluation mode"),
        ("HoldsInfinity", "keeps mask in its state_dict, which holds a number that is not finite"),
        ("KeepsWords", "keeps _extra_state in its state_dict, which is no dense tensor"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name: str, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words) as caught:
        check_architecture(spec_of(name), 2, 1)
    message = str(caught.value)
    assert message.startswith("architecture 'net': ")
    assert name in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NOT_A_MODULE", "it is no subclass of torch.nn.Module"),
        ("NetSpec", "it is no subclass of torch.nn.Module"),
        ("Nowhere", "importing it raised AttributeError"),
    ],
)
def test_a_module_that_is_none_is_named_with_its_place(name: str, words: str) -> None:
    with pytest.raises(PluginError, match=words) as caught:
        build_model(spec_of(name), 1, 1)
    assert f"the module tests.ml.nets:{name} of Spec cannot be used: " in str(caught.value)


def test_a_module_that_says_nothing_of_raw_units_keeps_its_numbers() -> None:
    spec = nets.NetSpec()
    state = build_model(spec, 1, 1).state_dict()
    assert not can_fold(spec)
    kept = raw_state_dict(spec, state, scaling())
    assert all(torch.equal(kept[key], state[key]) for key in state)
    assert line_of(spec, kept) is None
