"""Sums of products in one order, feature by feature, whatever the number of rows.

``((x_0 * w_0 + x_1 * w_1) + x_2 * w_2) + …``, each product and each sum rounded to float32 by
itself: IEEE 754 leaves no choice, so a row has the same bits among any others, on any processor and
by any release of numpy or a BLAS. A dot product for each cell has a call for each cell, 11 ns;
here the inner loop goes over rows. 10,000 rows of 10 features, 10 targets: 0.3 ms in place of 1.4.

Three ways lead to the same bits:

- few rows: `np.add.accumulate` over the features, which by its definition keeps every partial sum;
- many: `np.einsum`, which for each target and feature does ``y_P += w * x_P`` in one pass. numpy
  does not promise its order, and where processors have it may join product and sum in one
  rounding. What it does depends on shapes, not on values: so it is given a dozen shapes only, rows
  are filled up to the next, and each shape is tried against the definition before it is used;
- where the trial fails: the definition itself, an operation for each feature.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MOST_FEATURES = 16
"""With 32 a dot product for each cell is as fast, for few targets twice as fast; and a sum one by
one loses more digits the longer it is, unlike a dot product's sums of sums."""

_FEW_SUMS = 64
"""Accumulated these take 5 to 7 us, in a block 7."""

_LEAST_SHAPE = 8
_BLOCK_VALUES = 16_384
"""64 kB: a block of rows and its answers stay in the processor's nearest caches."""


def is_faster(features: int, targets: int) -> bool:
    """Whether `OrderedMap` is for such a model: never a question of the rows, whose bits must not
    depend on their number. One feature needs no sum; for one target dot products are as fast."""
    return 2 <= features <= MOST_FEATURES and targets >= 2


class OrderedMap:
    """``y_NT = x_NF @ weight_TF.T + bias_T`` in float32, summed in the order of the features, the
    bias last.

    Args:
        weight_TF: float32, C-contiguous.
        bias_T: float32.
    """

    def __init__(self, weight_TF: np.ndarray, bias_T: np.ndarray) -> None:
        targets, features = weight_TF.shape
        self._weight_TF = weight_TF
        # -0.0 becomes 0.0: then it is no matter which sign a sum of zeros has.
        self._bias_T = bias_T + np.float32(0)
        # The bias is the weight of one feature more, which is 1 in every row.
        self._weight_TG = np.column_stack((weight_TF, self._bias_T))
        shapes = _shapes(max(features, targets))
        self.block_rows = shapes[-1]
        """Rows that are worked on at once."""
        self._may_einsum = einsum_keeps_order(features + 1, targets, shapes)

    def __call__(self, x_NF: np.ndarray, out_NT: np.ndarray | None = None) -> np.ndarray:
        """The answers ``y_NT`` for rows, both float32; in ``out_NT`` where that is given."""
        rows, targets = len(x_NF), len(self._bias_T)
        if rows == 1:
            one_TF = x_NF * self._weight_TF
            np.add.accumulate(one_TF, 1, None, one_TF)
            one_NT: np.ndarray = np.add(one_TF[None, :, -1], self._bias_T, out_NT)
            return one_NT
        if rows * targets <= _FEW_SUMS:
            few_NTF = x_NF[:, None, :] * self._weight_TF
            np.add.accumulate(few_NTF, 2, None, few_NTF)
            few_NT: np.ndarray = np.add(few_NTF[:, :, -1], self._bias_T, out_NT)
            return few_NT
        y_NT = np.empty((rows, targets), np.float32) if out_NT is None else out_NT
        for start in range(0, rows, self.block_rows):
            here = slice(start, start + self.block_rows)
            self._answer(x_NF[here], y_NT[here])
        return y_NT

    def _answer(self, x_NF: np.ndarray, out_NT: np.ndarray) -> None:
        """One block."""
        rows, (targets, columns) = len(x_NF), self._weight_TG.shape
        shape = max(_LEAST_SHAPE, 1 << (rows - 1).bit_length())
        x_GP = (np.empty if rows == shape else np.zeros)((columns, shape), np.float32)
        x_GP[:-1, :rows] = x_NF.T
        x_GP[-1] = 1
        y_TP = np.empty((targets, shape), np.float32)
        if self._may_einsum:
            np.einsum("tf,fp->tp", self._weight_TG, x_GP, out=y_TP)
        else:
            one_by_one(self._weight_TG, x_GP, y_TP)
        out_NT[...] = y_TP.T[:rows]


def one_by_one(weight_TF: np.ndarray, x_FP: np.ndarray, out_TP: np.ndarray) -> None:
    """The definition of the order: ``out_TP`` becomes ``weight_TF @ x_FP``, all float32."""
    np.multiply(weight_TF[:, :1], x_FP[0], out=out_TP)
    product_TP = np.empty_like(out_TP)
    for feature in range(1, len(x_FP)):
        np.multiply(weight_TF[:, feature, None], x_FP[feature], out=product_TP)
        np.add(out_TP, product_TP, out=out_TP)


def _shapes(columns: int) -> tuple[int, ...]:
    """How many rows a block may have: the powers of two from 8 to what the cache holds."""
    most = max(_LEAST_SHAPE, _BLOCK_VALUES // columns)
    return tuple(1 << bit for bit in range(3, most.bit_length()))


@lru_cache(maxsize=256)
def einsum_keeps_order(features: int, targets: int, shapes: tuple[int, ...]) -> bool:
    """Whether this numpy's `einsum` does as `one_by_one`, bit by bit, for each number of rows.

    Takes 1 ms. Another order or a fused rounding changes the last bits of a third of the sums or
    more, of which there are 16 in the smallest shape and thousands in the largest.
    """
    generator = np.random.default_rng(0)
    weight_TF = generator.standard_normal((targets, features), np.float32)
    x_FP = generator.standard_normal((features, shapes[-1]), np.float32)
    wanted_TP = np.empty((targets, shapes[-1]), np.float32)
    one_by_one(weight_TF, x_FP, wanted_TP)
    for shape in shapes:
        found_TP = np.empty((targets, shape), np.float32)
        np.einsum("tf,fp->tp", weight_TF, np.ascontiguousarray(x_FP[:, :shape]), out=found_TP)
        if not np.array_equal(found_TP, wanted_TP[:, :shape]):
            return False
    return True
