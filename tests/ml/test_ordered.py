"""Sums feature by feature have the bits of their definition, in any number of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.models import ordered
from ml.models.architecture import Line
from ml.models.ordered import MOST_FEATURES, OrderedMap, einsum_keeps_order, is_faster
from ml.models.rowwise import LinearMap

FLOAT32_MAX = float(np.finfo(np.float32).max)


def some(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Normal numbers, float32, of magnitudes that differ by 1e12."""
    generator = np.random.default_rng(seed)
    values: np.ndarray = generator.normal(size=shape) * 10.0 ** generator.integers(-6, 7, shape)
    return values.astype(np.float32)


def by_hand(weight_TF: np.ndarray, bias_T: np.ndarray, x_F: np.ndarray) -> np.ndarray:
    """One row's answers, number by number."""
    answers = []
    for weight_F, bias in zip(weight_TF, bias_T, strict=True):
        total = x_F[0] * weight_F[0]
        for x, weight in zip(x_F[1:], weight_F[1:], strict=True):
            total = np.float32(total + np.float32(x * weight))
        # A bias of -0.0 counts as 0.0, so that no answer is -0.0.
        answers.append(np.float32(total + np.float32(bias + np.float32(0))))
    return np.array(answers, np.float32)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("may_einsum", [True, False])
@pytest.mark.parametrize(("features", "targets"), [(2, 2), (10, 10), (16, 3), (5, 40), (3, 4000)])
def test_rows_have_the_bits_of_the_definition_around_every_border(
    features: int, targets: int, may_einsum: bool
) -> None:
    made = OrderedMap(some((targets, features)), some((targets,), 1))
    made._may_einsum &= may_einsum
    block = made.block_rows
    x_NF = some((2 * block + 9, features), 2)
    wanted_NT = np.concatenate([made(row_F[None]) for row_F in x_NF[: 2 * block + 9]])
    for row in (0, 1, block, 2 * block + 8):
        by_hand_T = by_hand(made._weight_TF, made._bias_T, x_NF[row])
        assert same_bits(wanted_NT[row], by_hand_T)
    borders = [*range(2, 10), 15, 16, 17, block - 1, block, block + 1, block + 3, block + 4]
    for rows in (*borders, 2 * block, 2 * block + 9):
        assert same_bits(made(x_NF[:rows]), wanted_NT[:rows]), rows
        assert same_bits(made(x_NF[len(x_NF) - rows :]), wanted_NT[len(x_NF) - rows :]), rows
    # Every other row, and columns that lie one behind the other.
    assert same_bits(made(x_NF[::2]), wanted_NT[::2])
    assert same_bits(made(np.asfortranarray(x_NF)), wanted_NT)


ANY = st.floats(-FLOAT32_MAX, FLOAT32_MAX, width=32)
NUMBERS = (
    st.floats(-1e3, 1e3, width=32)
    | ANY
    | st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1.1754943508222875e-38, FLOAT32_MAX, -FLOAT32_MAX])
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_numbers_have_the_same_bits_in_any_company(data: st.DataObject) -> None:
    """Subnormal, of either sign of zero, so large that sums overflow."""
    features = data.draw(st.integers(2, MOST_FEATURES), "features")
    targets = data.draw(st.integers(2, 6), "targets")
    rows = data.draw(st.integers(1, 40), "rows")

    def array(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        # A few numbers, over and over: drawing each takes hypothesis seconds.
        drawn = data.draw(st.lists(NUMBERS, min_size=1, max_size=min(count, 24)))
        order = np.random.default_rng(count).integers(0, len(drawn), count)
        return np.array(drawn, np.float32)[order].reshape(shape)

    made = OrderedMap(array(targets, features), array(targets))
    x_NF = array(rows, features)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        alone_NT = np.concatenate([made(row_F[None]) for row_F in x_NF])
        together_NT = made(x_NF)
        made._may_einsum = False
        assert_same_but_for_nan(made(x_NF), alone_NT)
        first_T = by_hand(made._weight_TF, made._bias_T, x_NF[0])
    assert_same_but_for_nan(together_NT, alone_NT)
    assert_same_but_for_nan(alone_NT[0], first_T)


def assert_same_but_for_nan(one: np.ndarray, other: np.ndarray) -> None:
    """NaN, which is refused, has no bits of its own."""
    assert np.array_equal(np.isnan(one), np.isnan(other))
    assert same_bits(np.nan_to_num(one), np.nan_to_num(other))


def test_an_einsum_that_rounds_otherwise_is_found_and_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight_TF, bias_T, x_NF = some((10, 10)), some((10,), 1), some((50, 10), 2)
    wanted_NT = OrderedMap(weight_TF, bias_T)(x_NF)

    def backwards(_: str, weight_TF: np.ndarray, x_FP: np.ndarray, out: np.ndarray) -> None:
        ordered.one_by_one(weight_TF[:, ::-1], x_FP[::-1], out)

    def fused(_: str, weight_TF: np.ndarray, x_FP: np.ndarray, out: np.ndarray) -> None:
        """Product and sum are rounded once, as a fused instruction does."""
        out[...] = 0
        for weight_T, x_P in zip(weight_TF.T.astype(np.float64), x_FP, strict=True):
            out[...] = weight_T[:, None] * x_P + out

    for other in (backwards, fused):
        for shape in ((2, 2), (11, 10)):
            if other is backwards and shape == (2, 2):
                continue  # a + b is b + a
            einsum_keeps_order.cache_clear()
            monkeypatch.setattr(np, "einsum", other)
            assert not einsum_keeps_order(*shape, (8, 16)), (other, shape)
        made = OrderedMap(weight_TF, bias_T)
        assert not made._may_einsum
        assert same_bits(made(x_NF), wanted_NT)
    einsum_keeps_order.cache_clear()


@pytest.mark.parametrize(("features", "targets"), [(2, 2), (10, 10), (16, 2), (17, 2), (200, 5)])
def test_it_answers_as_the_module_but_for_rounding(features: int, targets: int) -> None:
    generator = torch.Generator().manual_seed(features)
    module = torch.nn.Linear(features, targets)
    weight_TF = torch.randn(targets, features, generator=generator)
    bias_T = torch.randn(targets, generator=generator)
    module.load_state_dict({"weight": weight_TF, "bias": bias_T})
    module.requires_grad_(False)
    x_NF = torch.randn(1000, features, generator=generator)
    y_NT = torch.from_numpy(LinearMap(Line(weight_TF, bias_T))(x_NF.numpy()))
    exact_NT = x_NF.double() @ weight_TF.double().T + bias_T
    # The bound of a sum taken one by one (Higham, "Accuracy and Stability", 3.1): a half of an ulp
    # for each product and each sum, relative to the sum of magnitudes.
    bound_NT = x_NF.abs().double() @ weight_TF.abs().double().T + bias_T.abs()
    bound_NT *= (features + 1) * 2.0**-24
    assert bool(((y_NT - exact_NT).abs() <= bound_NT).all())
    assert bool(((y_NT - module(x_NF)).abs() <= 2 * bound_NT).all())


def test_wide_models_and_single_targets_keep_their_dot_products() -> None:
    assert is_faster(2, 2)
    assert is_faster(MOST_FEATURES, 1000)
    assert not is_faster(1, 5)
    assert not is_faster(10, 1)
    assert not is_faster(MOST_FEATURES + 1, 10)


def test_answers_are_written_where_it_is_told() -> None:
    for features, targets in ((1, 1), (1, 3), (4, 1), (4, 3), (30, 3)):
        of = Line(torch.from_numpy(some((targets, features))), torch.from_numpy(some((targets,))))
        made = LinearMap(of)
        for rows in (1, 5, 100):
            x_NF = some((rows, features), rows)
            out_NT = np.empty((rows, targets), np.float32)
            assert made(x_NF, out_NT) is out_NT
            assert same_bits(out_NT, made(x_NF))
