"""Whether what came out of a training makes sense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from ml.artifact import Bundle
from ml.data.table import Rows
from ml.errors import DivergedError, OverflowedError
from ml.models.build import can_fold
from ml.predictor import Predictor
from ml.training.loop import Loop, Point

ABSURD = 100
"""A training that ends with so many times the loss of always answering 0, and twice the loss that
it began with, took too large steps, even where each number stayed finite: L1 swings for ever
instead of overflowing."""

RAW_GAP_ROWS = 10_000
"""Training rows on which the state_dict in raw units is compared with the service."""


def check_sense(loop: Loop, curve: Sequence[Point]) -> None:
    """Look at how a training began and ended.

    Raises:
        DivergedError: it ended far worse than it began, and than one that always answers 0.
    """
    train = loop.train
    losses = [loop.loss_of(train) or 0.0]
    if loop.best_epoch is None:
        # Steps that are too large may swing back to where they began just at the end.
        losses.append(curve[-1].train_loss)
    ended, began = max(losses), curve[0].train_loss
    of_zero = sum(
        float(loop.loss(torch.zeros_like(y_NT), y_NT)) * (len(y_NT) / len(train))
        for _, y_NT in train.blocks()
    )
    # 1: where y is all 0, or tiny, a loss below that is still no sign of large steps.
    if ended > max(ABSURD * max(of_zero, 1.0), 2 * began):
        raise DivergedError(f"the train loss began at {began:.3g} and ended at {ended:.3g}")


def raw_gap(bundle: Bundle, train: Rows, device: torch.device) -> float | None:
    """How far the state_dict in raw units, which people may download, predicts otherwise than the
    service, in standard deviations of y; None where there is none in raw units."""
    if bundle.scaling is None or not can_fold(bundle.architecture):
        return None
    x_NF = train.sample(RAW_GAP_ROWS).x_NF
    raw = replace(bundle, scaling=None, state=bundle.raw_state())
    try:
        by_raw_NT = Predictor(raw, device).predict(x_NF)
    except OverflowedError:
        return math.inf
    apart_NT = by_raw_NT.double() - Predictor(bundle, device).predict(x_NF)
    return float((apart_NT.square().mean(dim=0).sqrt() / bundle.scaling.y_std_T).max())
