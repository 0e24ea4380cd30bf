"""A loaded artifact that answers."""

from __future__ import annotations

from contextlib import suppress

import torch

from ml.artifact import Bundle, skeleton
from ml.errors import InputError, OverflowedError
from ml.spec.base import FLOAT32_MAX


class Predictor:
    """Answers ``predict(x_NF) -> y_NT`` in raw units. Nothing in it changes after it is made, so
    any number of threads may call it."""

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle = bundle
        self.device = device
        self.features = len(bundle.column_names)
        self.targets = len(bundle.target_names)
        # A skeleton: drawing parameters would move torch's global generator.
        module = skeleton(bundle.architecture, self.features, self.targets)
        module.load_state_dict(bundle.state, assign=True)
        self._module = module.to(device).eval().requires_grad_(False)

    def warm_up(self) -> None:
        """Answer one row and a few, so that the first client does not pay for lazy set-up."""
        for rows in (1, 8):
            # Zeros may lie far from the rows that the model was trained on, and its answer for
            # them beyond float32: it is warm all the same.
            with suppress(OverflowedError):
                self.predict(torch.zeros(rows, self.features))

    def extrapolates(self, x_NF: torch.Tensor) -> torch.Tensor | None:
        """Whether each row lies outside what was seen in training, as booleans of shape (N,); None
        where the artifact does not tell."""
        return None if self.bundle.range is None else self.bundle.range.is_outside(x_NF)

    def predict(self, x_NF: torch.Tensor) -> torch.Tensor:
        """Predictions ``y_NT`` on the CPU for ``x_NF``, float32 or float64 on the CPU.

        In float32, or float64 where the training standardized; each fits float32.

        Raises:
            InputError: a row has another number of features than the model.
            OverflowedError: a prediction is beyond float32.
        """
        if x_NF.dim() != 2 or x_NF.shape[1] != self.features:
            got = x_NF.shape[1] if x_NF.dim() == 2 else f"shape {tuple(x_NF.shape)}"
            raise InputError(f"expected {self.features} features a row, got {got}")
        scaling = self.bundle.scaling
        with torch.inference_mode():
            scaled_NF = x_NF.float() if scaling is None else scaling.scale_x(x_NF)
            y_NT: torch.Tensor = self._module(scaled_NF.to(self.device)).cpu()
            if scaling is not None:
                y_NT = scaling.unscale_y(y_NT)
            if not _fits(y_NT):
                fits_NT = y_NT.abs() <= FLOAT32_MAX  # False for NaN too
                row = int((~fits_NT).any(dim=1).nonzero()[0, 0])
                raise OverflowedError(f"the prediction for row {row} is beyond float32", row)
        return y_NT


def _fits(y_NT: torch.Tensor) -> bool:
    """Whether every number is within float32: one pass, where comparing each takes four."""
    if y_NT.numel() == 0:
        return True
    least, most = torch.aminmax(y_NT)  # NaN where any is
    return float(least) >= -FLOAT32_MAX and float(most) <= FLOAT32_MAX
