"""Categories as numbers: each value of a category is a feature of 0 or 1 (one-hot)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Categories = Mapping[str, Sequence[str]]
"""Vocabulary of each feature that is a category."""


def encoded_names(feature_names: Sequence[str], categories: Categories) -> tuple[str, ...]:
    """The names of the columns of ``x_NF``: a number has its own, a category `color=red`, …"""
    names: list[str] = []
    for name in feature_names:
        words = categories.get(name)
        names += [name] if words is None else [f"{name}={word}" for word in words]
    return tuple(names)


def encode(
    numbers_NC: np.ndarray,
    codes_NK: np.ndarray,
    feature_names: Sequence[str],
    categories: Categories,
) -> np.ndarray:
    """``x_NF`` in float64; without categories it is ``numbers_NC`` itself, not a copy.

    ``numbers_NC`` holds the features that are numbers and ``codes_NK`` the places in their
    vocabularies of those that are categories, both in the order of ``feature_names``.
    """
    if not categories:
        return numbers_NC
    rows = len(numbers_NC)
    x_NF = np.zeros((rows, len(encoded_names(feature_names, categories))))
    place = number = category = 0
    for name in feature_names:
        words = categories.get(name)
        if words is None:
            x_NF[:, place] = numbers_NC[:, number]
            number, place = number + 1, place + 1
        else:
            codes_N = codes_NK[:, category].astype(np.int64)
            x_NF[np.arange(rows), place + codes_N] = 1.0
            category, place = category + 1, place + len(words)
    return x_NF
