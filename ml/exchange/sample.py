"""Rows to compare two predictors on, and how far apart they may be.

The same numbers in another order of summation differ in the last bits of float32. So files are held
to 1e-5 of what the net gives, or to sixteen times what float32 itself loses on these rows, where
that is more: parameters in raw units that cancel each other lose digits wherever they are run.
"""

from __future__ import annotations

import copy

import torch

from ml.artifact import Bundle, frozen_module
from ml.data.encoding import encoded_names
from ml.models.architecture import StateDict

ROWS = 257
"""More than a row and no round number: every way of going through rows in blocks is met."""

SHARE = 1e-5
TIMES_LOST = 16


def draw(bundle: Bundle) -> torch.Tensor:
    """``x_NF`` in float64, spread over what was seen in training; the same for the same bundle."""
    columns = len(bundle.column_names)
    generator = torch.Generator().manual_seed(0)
    unit_NF = torch.rand(ROWS, columns, generator=generator, dtype=torch.float64)
    if bundle.range is not None:
        low_F, high_F = bundle.range.x_min_F, bundle.range.x_max_F
        x_NF = low_F + unit_NF * (high_F - low_F)
        # The ends themselves.
        x_NF[0], x_NF[1] = low_F, high_F
    elif bundle.scaling is not None:
        x_NF = bundle.scaling.x_mean_F + (4 * unit_NF - 2) * bundle.scaling.x_std_F
    else:
        x_NF = 2 * unit_NF - 1
    return _one_word_each(bundle, x_NF, unit_NF)


def _one_word_each(bundle: Bundle, x_NF: torch.Tensor, unit_NF: torch.Tensor) -> torch.Tensor:
    """With exactly one 1 among the columns of each category."""
    place = 0
    for name in bundle.feature_names:
        count = len(encoded_names([name], bundle.categories))
        if name in bundle.categories:
            here = slice(place, place + count)
            x_NF[:, here] = torch.nn.functional.one_hot(unit_NF[:, here].argmax(dim=1), count)
        place += count
    return x_NF


def tolerance(
    bundle: Bundle, x_NF: torch.Tensor, y_NT: torch.Tensor, folded: bool = False
) -> torch.Tensor:
    """How far each target may be from the predictions ``y_NT`` for ``x_NF``: float64, shape (T,).

    ``folded`` for parameters that take and give raw units.
    """
    scaling = bundle.scaling
    y_mean_T = 0 if scaling is None else scaling.y_mean_T
    allowed_T = SHARE * (y_NT.double() - y_mean_T).abs().amax(dim=0)
    if folded:
        return torch.maximum(allowed_T, TIMES_LOST * _lost(bundle, bundle.raw_state(), x_NF))
    z_NF = x_NF if scaling is None else scaling.scale_x(x_NF, torch.float64)
    lost_T = _lost(bundle, bundle.state, z_NF)
    return torch.maximum(
        allowed_T, TIMES_LOST * (lost_T if scaling is None else lost_T * scaling.y_std_T)
    )


def _lost(bundle: Bundle, state: StateDict, z_NF: torch.Tensor) -> torch.Tensor:
    """The largest difference between the net in float32 and in float64, of shape (T,).

    An architecture that cannot run in float64 has lost nothing that could be measured.
    """
    net = frozen_module(bundle, state)
    try:
        with torch.inference_mode():
            exact_NT = copy.deepcopy(net).double()(z_NF)
            rounded_NT = net(z_NF.float())
    except Exception:
        # Whatever a person's own forward raises of numbers that it was not made for.
        return torch.zeros(len(bundle.target_names), dtype=torch.float64)
    lost_T: torch.Tensor = (rounded_NT.double() - exact_NT).abs().amax(dim=0)
    return lost_T.nan_to_num(0.0, posinf=0.0)
