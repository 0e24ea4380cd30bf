"""A loaded artifact that answers."""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median

import numpy as np
import torch

from ml.artifact import Bundle, skeleton
from ml.errors import InputError, OverflowedError
from ml.models.build import line_of
from ml.models.rowwise import LinearMap, NumberMap
from ml.spec.base import FLOAT32_MAX
from ml.spec.model import BUILT_IN

PROBE_ROWS = 32
"""Rows of the forward pass that `Predictor.warm_up` times: what one turn of a busy event loop
brings together."""


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
        # A skeleton: drawing parameters would move torch's global generator.
        module = skeleton(bundle.architecture, self.features, self.targets)
        module.load_state_dict(bundle.state, assign=True)
        self._module = module.to(device).eval().requires_grad_(False)
        # What a package says of its own module's line is not what its forward does.
        is_ours = type(bundle.architecture) in BUILT_IN
        line = line_of(bundle.architecture, bundle.state) if is_ours else None
        self._line = LinearMap(line) if line is not None and device.type == "cpu" else None
        scaling = bundle.scaling
        self._statistics = (
            None if scaling is None else {k: v.numpy() for k, v in scaling.tensors().items()}
        )
        self.predict_number: NumberMap | None = None
        """For a linear model of one feature and one target on the CPU: `predict_array` for a single
        number, to the same bits; it gives None where that raises."""
        if self._line is not None and (self.features, self.targets) == (1, 1):
            assert line is not None
            self.predict_number = NumberMap(line, self._statistics)

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

    def predict_array(self, x_NF: np.ndarray) -> np.ndarray:
        """Predictions ``y_NT`` for ``x_NF``, float32 or float64.

        In float32, or float64 where the training standardized; each fits float32.

        Raises:
            InputError: a row has another number of features than the model.
            OverflowedError: a prediction is beyond float32.
        """
        if x_NF.ndim != 2 or x_NF.shape[1] != self.features:
            got = x_NF.shape[1] if x_NF.ndim == 2 else f"shape {x_NF.shape}"
            raise InputError(f"expected {self.features} features a row, got {got}")
        statistics = self._statistics
        # What goes beyond float32 on the way is found at the end.
        with np.errstate(over="ignore", invalid="ignore"):
            if statistics is not None:
                # As `ml.data.scaling.Scaling.scale_x`; three calls of numpy take a microsecond.
                x_NF = (x_NF - statistics["x_mean_F"]) / statistics["x_std_F"]
            x_NF = x_NF.astype(np.float32)
            y_NT = self._forward(x_NF) if self._line is None else self._line(x_NF)
            if statistics is not None:
                y_NT = y_NT * statistics["y_std_T"] + statistics["y_mean_T"]
            # False for NaN too. Extremes are found in a fifth of the time that comparing takes.
            if len(y_NT) and not (y_NT.max() <= FLOAT32_MAX and y_NT.min() >= -FLOAT32_MAX):
                row = int((~(np.abs(y_NT) <= FLOAT32_MAX)).any(axis=1).argmax())
                raise OverflowedError(f"the prediction for row {row} is beyond float32", row)
        return y_NT

    def _forward(self, x_NF: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            y_NT: torch.Tensor = self._module(torch.from_numpy(x_NF).to(self.device))
            return y_NT.cpu().numpy()
