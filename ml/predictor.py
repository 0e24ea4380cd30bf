"""A loaded artifact that answers."""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median

import numpy as np
import torch

from ml.artifact import Bundle, frozen_module
from ml.errors import InputError, OverflowedError
from ml.models.build import line_of
from ml.models.rowwise import LinearMap, NumberMap
from ml.spec.base import FLOAT32_MAX
from ml.spec.model import BUILT_IN

PROBE_ROWS = 32
"""Rows of the forward pass that `Predictor.warm_up` times: what one turn of a busy event loop
brings together."""

Floats = type[np.float32] | type[np.float64] | None
"""In what predictions are asked for; None: in what the model computes them."""


FEW_VALUES = 4096
"""So many are looked through in 2.2 us either way; one in 1.5 or 2.2."""


def fit_float32(values: np.ndarray) -> bool:
    """Whether all are within float32; False for NaN too. Extremes are found in a fifth of the time
    that comparing takes, and without an array as long; of a few numbers one is faster than two."""
    if not values.size:
        return True
    if values.size <= FEW_VALUES:
        return bool(np.abs(values).max() <= FLOAT32_MAX)
    return bool(values.max() <= FLOAT32_MAX and values.min() >= -FLOAT32_MAX)


class Predictor:
    """Answers ``predict(x_NF) -> y_NT`` in raw units. Nothing in it changes after it is warm, so
    any number of threads may call it.

    A linear model on the CPU gives a row the same bits whatever rows stand beside it
    (`ml.models.rowwise`). Others may differ in the last bits, as the kernels of matrix products
    choose their order of summation by the shape.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle = bundle
        self.device = device
        self.features = len(bundle.column_names)
        self.targets = len(bundle.target_names)
        self.probe_seconds = 0.0
        """How long `PROBE_ROWS` rows take; known once it is warm."""
        self._module = frozen_module(bundle).to(device)
        # What a package says of its own module's line is not what its forward does.
        is_ours = type(bundle.architecture) in BUILT_IN
        line = line_of(bundle.architecture, bundle.state) if is_ours else None
        self._line = LinearMap(line) if line is not None and device.type == "cpu" else None
        self._block_rows = 0
        if self._line is not None:
            # float32 to float32 leaves nothing in between: a few blocks are checked together.
            self._block_rows = self._line.block_rows * (4 if bundle.scaling is None else 1)
        self.predict_number: NumberMap | None = None
        """For a linear model of one feature and one target on the CPU: `predict_array` for a single
        number, to the same bits; it gives None where that raises."""
        if self._line is not None and (self.features, self.targets) == (1, 1):
            assert line is not None
            self.predict_number = NumberMap(line, bundle.scaling)

    def warm_up(self) -> None:
        """Answer one row and a few, so that the first client does not pay for lazy set-up, and find
        out how long it takes."""
        taken = []
        for rows in (1, 8, *[PROBE_ROWS] * 5):
            began = time.perf_counter()
            # Zeros may lie far from the rows that the model was trained on, and its answer for
            # them beyond float32: it is warm all the same.
            with suppress(OverflowedError):
                self.predict_array(np.zeros((rows, self.features)))
            taken.append(time.perf_counter() - began)
        self.probe_seconds = median(taken[2:])

    def extrapolates(self, x_NF: torch.Tensor) -> torch.Tensor | None:
        """Whether each row lies outside what was seen in training, as booleans of shape (N,); None
        where the artifact does not tell."""
        return None if self.bundle.range is None else self.bundle.range.is_outside(x_NF)

    def predict(self, x_NF: torch.Tensor) -> torch.Tensor:
        """`predict_array` for a tensor on the CPU, with its errors."""
        return torch.from_numpy(self.predict_array(x_NF.numpy()))

    def predict_array(self, x_NF: np.ndarray, dtype: Floats = None) -> np.ndarray:
        """Predictions ``y_NT`` for ``x_NF``, float32 or float64.

        In ``dtype``; where that is None, in what the model computes them in, which is float64 where
        the training standardized. Each fits float32.

        Raises:
            InputError: a row has another number of features than the model.
            OverflowedError: a prediction is beyond float32.
        """
        if x_NF.ndim != 2 or x_NF.shape[1] != self.features:
            got = x_NF.shape[1] if x_NF.ndim == 2 else f"shape {x_NF.shape}"
            raise InputError(f"expected {self.features} features a row, got {got}")
        rows, block = len(x_NF), self._block_rows
        # What goes beyond float32 on the way is found at the end.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._line is None or rows <= block:
                y_NT = self._answers(x_NF)
                return y_NT if dtype is None else y_NT.astype(dtype, copy=False)
            # What lies between question and answer is megabytes, which the allocator would ask the
            # kernel for and give back: half of the time. In blocks it stays in the cache.
            computed = np.float32 if self.bundle.scaling is None else np.float64
            y_NT = np.empty((rows, self.targets), dtype or computed)
            for start in range(0, rows, block):
                here = slice(start, start + block)
                self._answers(x_NF[here], start, y_NT[here])
        return y_NT

    def _answers(
        self, x_NF: np.ndarray, first: int = 0, out_NT: np.ndarray | None = None
    ) -> np.ndarray:
        """The predictions of rows, of which the request has ``first`` others before. They are
        written to ``out_NT`` too, where that is given."""
        scaling = self.bundle.scaling
        if scaling is None:
            # A module may write to what it is given.
            scaled_NF = x_NF.astype(np.float32, order="C", copy=self._line is None)
        else:
            scaled_NF = scaling.x_columns.standardized(x_NF, np.float32)
        if self._line is None:
            y_NT = self._forward(scaled_NF)
        elif scaling is None and out_NT is not None and out_NT.dtype == np.float32:
            y_NT = self._line(scaled_NF, out_NT)
        else:
            y_NT = self._line(scaled_NF)
        if scaling is not None:
            y_NT = scaling.y_columns.raw(y_NT)
        if not fit_float32(y_NT):
            row = first + int((~(np.abs(y_NT) <= FLOAT32_MAX)).any(axis=1).argmax())
            raise OverflowedError(f"the prediction for row {row} is beyond float32", row)
        if out_NT is not None and y_NT is not out_NT:
            out_NT[...] = y_NT
        return y_NT

    def _forward(self, x_NF: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            y_NT: torch.Tensor = self._module(torch.from_numpy(x_NF).to(self.device))
            return y_NT.cpu().numpy()
