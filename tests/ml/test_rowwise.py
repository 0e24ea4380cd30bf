"""A linear map gives a row the same bits whatever rows stand beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.scaling import BLOCK_VALUES, Scaling
from ml.errors import OverflowedError
from ml.predictor import Predictor
from ml.spec.base import FLOAT32_MAX
from ml.spec.model import LinearSpec, MlpSpec, ParametersSpec
from tests.ml.making import bundle

CPU = torch.device("cpu")


def statistics(features: int, targets: int, generator: np.random.Generator) -> Scaling:
    def some(count: int) -> torch.Tensor:
        return torch.from_numpy(generator.normal(size=count) * 10)

    x_std, y_std = some(features).abs() + 0.1, some(targets).abs() + 0.1
    return Scaling(some(features), x_std, some(targets), y_std)


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize(
    ("features", "targets"),
    [(1, 1), (1, 3), (2, 1), (5, 1), (16, 1), (2, 2), (10, 10), (16, 3), (33, 2), (200, 5)],
)
def test_a_row_has_the_same_bits_alone_and_in_any_company(
    features: int, targets: int, is_scaled: bool
) -> None:
    generator = np.random.default_rng(features)
    of = bundle(LinearSpec(), features, targets)
    if is_scaled:
        of = replace(of, scaling=statistics(features, targets, generator))
    predictor = Predictor(of, CPU)
    x_NF = generator.normal(size=(257, features)) * 10
    alone_NT = np.concatenate([predictor.predict_array(row_F[None]) for row_F in x_NF])
    for rows in (2, 3, 4, 7, 8, 31, 64, 257):
        parts = [predictor.predict_array(x_NF[i : i + rows]) for i in range(0, 257, rows)]
        assert np.array_equal(np.concatenate(parts), alone_NT), rows


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize(("features", "targets"), [(1, 1), (1, 3), (5, 1), (7, 4), (33, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows_have_the_bits_of_a_few(
    features: int, targets: int, is_scaled: bool, dtype: type
) -> None:
    """Many are answered in blocks: whole ones, and part of one."""
    generator = np.random.default_rng(features)
    of = bundle(LinearSpec(), features, targets)
    if is_scaled:
        of = replace(of, scaling=statistics(features, targets, generator))
    predictor = Predictor(of, CPU)
    block = predictor._block_rows
    assert block * max(features, targets) >= BLOCK_VALUES // 2
    x_NF: np.ndarray = generator.normal(size=(2 * block + 3, features)).astype(dtype) * 10
    few = [predictor.predict_array(x_NF[i : i + 100]) for i in range(0, len(x_NF), 100)]
    few_NT = np.concatenate(few)
    for rows in (block - 1, block, block + 1, 2 * block, 2 * block + 3):
        assert np.array_equal(predictor.predict_array(x_NF[:rows]), few_NT[:rows]), rows
    y_NT = predictor.predict_array(x_NF, np.float32)
    assert y_NT.dtype == np.float32
    assert np.array_equal(y_NT, few_NT.astype(np.float32))
    # Every other row: not one behind the other in memory.
    assert np.array_equal(predictor.predict_array(x_NF[::2]), few_NT[::2])
    assert few_NT.dtype == (np.float64 if is_scaled else np.float32)


@pytest.mark.parametrize("features", [1, 3, 16, 200])
def test_it_answers_as_the_module_but_for_the_order_of_summation(features: int) -> None:
    of = bundle(LinearSpec(), features)
    x_NF = torch.randn(100, features, generator=torch.Generator().manual_seed(1))
    module = torch.nn.Linear(features, 1)
    module.load_state_dict(
        {key.removeprefix("linear_layer."): values for key, values in of.state.items()}
    )
    module.requires_grad_(False)
    y_N1 = Predictor(of, CPU).predict(x_NF)
    if features == 1:
        assert torch.equal(y_N1, module(x_NF))
    scale = float((x_NF.abs() @ module.weight.abs().T).max())
    assert float((y_N1 - module(x_NF)).abs().max()) <= 1e-6 * scale


def test_rows_of_an_mlp_differ_by_rounding_only() -> None:
    """Matrix products of torch choose their kernel by the shape. The bound is what the docs say."""
    predictor = Predictor(bundle(MlpSpec(hidden=(64, 64)), 16), CPU)
    x_NF = np.random.default_rng(0).normal(size=(256, 16))
    alone_NT = np.concatenate([predictor.predict_array(row_F[None]) for row_F in x_NF])
    together_NT = predictor.predict_array(x_NF)
    assert np.abs(together_NT - alone_NT).max() <= 1e-5 * np.abs(alone_NT).max()


FLOATS = st.floats(-FLOAT32_MAX, FLOAT32_MAX) | st.floats(-1e3, 1e3) | st.integers(-9, 9).map(float)
POSITIVE = st.floats(1e-30, 1e30)


@settings(deadline=None, max_examples=300)
@given(
    x=FLOATS,
    weight=st.floats(width=32, allow_nan=False, allow_infinity=False),
    bias=st.floats(width=32, allow_nan=False, allow_infinity=False),
    scaling=st.none() | st.tuples(FLOATS, POSITIVE, FLOATS, POSITIVE),
    architecture=st.sampled_from([LinearSpec(), ParametersSpec()]),
)
def test_a_number_alone_has_the_same_bits_as_in_an_array(
    x: float,
    weight: float,
    bias: float,
    scaling: tuple[float, ...] | None,
    architecture: LinearSpec | ParametersSpec,
) -> None:
    of = bundle(architecture)
    keys = list(of.state)
    values = dict(zip(sorted(keys, reverse=True), (weight, bias), strict=True))
    state = {key: torch.full_like(of.state[key], values[key]) for key in keys}
    made = None
    if scaling is not None:
        made = Scaling(*(torch.tensor([value], dtype=torch.float64) for value in scaling))
    predictor = Predictor(replace(of, state=state, scaling=made), CPU)
    assert predictor.predict_number is not None
    try:
        wanted = predictor.predict_array(np.array([[x]]))[0, 0].item()
    except OverflowedError:
        assert predictor.predict_number(x) is None
        return
    found = predictor.predict_number(x)
    # None too where a step on the way overflows, which an array may survive: 1 / (0 * inf).
    assert found is None or (found == wanted and np.signbit(found) == np.signbit(wanted))
    if found is None:
        assert made is not None


def test_only_a_line_answers_numbers() -> None:
    assert Predictor(bundle(LinearSpec(), 2), CPU).predict_number is None
    assert Predictor(bundle(LinearSpec(), 1, 2), CPU).predict_number is None
    assert Predictor(bundle(MlpSpec(hidden=(4,))), CPU).predict_number is None
