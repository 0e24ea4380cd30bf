"""Updates of all parameters at once have the bits of torch.optim's, whatever the shapes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn, optim

from ml.models.build import build_model
from ml.spec.model import MlpSpec
from ml.training import updates
from ml.training.stepper import WORTH_RECORDING
from ml.training.updates import fast_update
from tests.ml.stepping import OPTIMIZERS, Recorded, assert_same_bits, plainly, rows, state_of

# Around the lengths of vectors: 8 or 16 float32 at a time, two vectors a turn, and a rest.
SHAPES: list[tuple[int, ...]] = [
    *((1,), (2, 1), (7,), (8,), (3, 3), (15,), (16,), (17,), (31,), (32,), (33,)),
    *((5, 13), (64, 3), (129,), (37, 31), (1000,), (64, 64)),
]


def _parameters(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(5)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in shapes
    ]


def _gradients(shapes: list[tuple[int, ...]], step: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    scale = 10.0 ** (step % 9 - 6)  # tiny ones as well as large ones
    return [
        (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        for shape in shapes
    ]


def _stepped(
    name: str, dtype: torch.dtype, clip: float | None, fast: bool, steps: int = 40
) -> list[torch.Tensor]:
    parameters = _parameters(SHAPES, dtype)
    optimizer = OPTIMIZERS[name](parameters)
    update = None
    for step in range(steps):
        gradients = _gradients(SHAPES, step, dtype)
        if fast and update is not None:
            for slot, gradient in zip(update.gradients, gradients, strict=True):
                slot.copy_(gradient)
            with torch.inference_mode():
                update.step()
            continue
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if fast:
            update = fast_update(optimizer, clip)
            assert update is not None
    return [
        *(parameter.detach() for parameter in parameters),
        *(value for state in optimizer.state.values() for value in state.values()),
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_all_at_once_has_the_bits_of_one_by_one(
    name: str, dtype: torch.dtype, clip: float | None
) -> None:
    assert_same_bits(_stepped(name, dtype, clip, False), _stepped(name, dtype, clip, True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_where_the_place_of_a_number_matters_each_parameter_is_moved_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = _stepped(name, torch.float32, 1.0, False)
    asked: list[torch.dtype] = []

    def it_matters(dtype: torch.dtype, device: torch.device) -> bool:
        asked.append(dtype)
        return False

    monkeypatch.setattr(updates, "_place_does_not_matter", it_matters)
    assert_same_bits(wanted, _stepped(name, torch.float32, 1.0, True))
    assert asked


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("hidden", "targets", "count"), [((37, 129), 3, 50), ((64, 64), 1, 128), ((1, 2, 3), 2, 7)]
)
def test_odd_layers_are_trained_with_the_same_bits(
    name: str, hidden: tuple[int, ...], targets: int, count: int
) -> None:
    x_NF, y_N1 = rows(11, count)
    y_NT = torch.cat([y_N1 * (i + 1) for i in range(targets)], dim=1)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(MlpSpec(hidden=hidden), 11, targets).train()
        optimizer = OPTIMIZERS[name](model.parameters())
        if replay:
            stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
            losses = [stepper.step(x_NF, y_NT).clone() for _ in range(30)]
            assert stepper.replayed
        else:
            losses = plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)] * 30)
        ends.append([*losses, *state_of(model, optimizer)])
    assert_same_bits(*ends)


def _ready(parameters: list[nn.Parameter]) -> optim.Optimizer:
    """An optimizer that has made its first step."""
    optimizer = optim.Adam(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def test_parameters_begin_where_torchs_allocator_would_let_them_begin() -> None:
    parameters = _parameters(SHAPES, torch.float32)
    before = [parameter.detach().clone() for parameter in parameters]
    update = fast_update(_ready(parameters))
    assert update is not None
    for parameter, slot, then in zip(parameters, update.gradients, before, strict=True):
        assert parameter.data_ptr() % 64 == 0
        assert slot.data_ptr() % 64 == 0
        assert slot.shape == parameter.shape == then.shape
        assert parameter.is_leaf
        assert parameter.is_contiguous()


def test_a_model_may_be_stepped_by_a_second_optimizer_later() -> None:
    x_NF, y_NT = rows(5)
    ends = []
    for replay in (False, True):
        torch.manual_seed(3)
        model = build_model(MlpSpec(hidden=(8,)), 5, 1).train()
        for name in ("adam", "sgd_momentum_decay", "adamw"):
            optimizer = OPTIMIZERS[name](model.parameters())
            if replay:
                stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
                stepper.steps(x_NF, y_NT, 10)
                assert stepper.replayed == 1
            else:
                plainly(model, nn.MSELoss(), optimizer, [(x_NF, y_NT)] * 10)
        ends.append(state_of(model, optimizer))
    assert_same_bits(*ends)


def test_what_was_stepped_can_be_copied_and_gone_on_with_from_its_state_dicts() -> None:
    x_NF, y_NT = rows(5)
    model = build_model(MlpSpec(hidden=(8,)), 5, 1).train()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    stepper = Recorded(model, nn.MSELoss(), optimizer, WORTH_RECORDING)
    stepper.steps(x_NF, y_NT, 10)
    twin = copy.deepcopy(model)
    twins = OPTIMIZERS["adamw"](twin.parameters())
    twins.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    kept = {key: values.clone() for key, values in model.state_dict().items()}
    stepper.steps(x_NF, y_NT, 10)
    assert not torch.equal(next(twin.parameters()), next(model.parameters()))
    plainly(twin, nn.MSELoss(), twins, [(x_NF, y_NT)] * 10)
    assert_same_bits(state_of(model, optimizer)[:-1], state_of(twin, twins)[:-1])
    model.load_state_dict(kept)
    assert torch.equal(next(model.parameters()), next(iter(kept.values())))


def test_parameters_that_cannot_lie_in_a_row_have_no_fast_update() -> None:
    whole = torch.randn(12)
    overlapping = [nn.Parameter(whole[:8]), nn.Parameter(whole[4:])]
    turned = [nn.Parameter(torch.randn(3, 4).t()), nn.Parameter(torch.randn(2))]
    mixed = [nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3).double())]
    beside = [nn.Parameter(whole[:6]), nn.Parameter(whole[6:])]
    assert [
        fast_update(_ready(parameters)) is None
        for parameters in (overlapping, turned, mixed, beside)
    ] == [True, True, True, False]


def test_a_parameter_without_a_gradient_leaves_all_to_torch() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = optim.Adam([used, unused])
    used.grad = torch.ones(2)
    optimizer.step()
    assert fast_update(optimizer) is None
