"""A plain prediction: `{"x": …}` with numbers, read and answered as arrays.

What is not plain is read by `service.serving.rows`, which also finds the words for what is wrong.
Both give the same answers (a property test holds them to it).
"""

from __future__ import annotations

from itertools import chain

import msgspec
import numpy as np
import orjson

from ml.spec.base import FLOAT32_MAX
from service.serving.named import NOT_PLAIN, within_float32
from service.serving.pool import Served


class _OneFeature(msgspec.Struct, forbid_unknown_fields=True):
    x: float | list[float]


class _ManyFeatures(msgspec.Struct, forbid_unknown_fields=True):
    x: list[list[float]]


# msgspec takes neither NaN nor Infinity, neither true nor "1" for a number.
_one_feature = msgspec.json.Decoder(_OneFeature).decode
_many_features = msgspec.json.Decoder(_ManyFeatures).decode


def read_number(body: bytes | memoryview) -> float | list[float] | None:
    """The ``x`` of a body for a model of one feature, each within float32; None where the body is
    not plain."""
    try:
        x = _one_feature(body).x
    except NOT_PLAIN:
        return None
    if isinstance(x, float):
        return x if -FLOAT32_MAX <= x <= FLOAT32_MAX else None
    return x if x and min(x) >= -FLOAT32_MAX and max(x) <= FLOAT32_MAX else None


def read_rows(body: bytes, features: int) -> tuple[np.ndarray, bool] | None:
    """The rows ``x_NF`` (float64) of a body, each number within float32, and whether they stand in
    a list; None where the body is not plain, or a row has another number of features."""
    if features == 1:
        x = read_number(body)
        if x is None:
            return None
        if isinstance(x, float):
            return np.array([[x]]), False
        return np.fromiter(x, np.float64, len(x))[:, None], True
    try:
        rows = _many_features(body).x
    except NOT_PLAIN:
        return None
    if any(len(row) != features for row in rows):
        return None
    x_NF = within_float32(chain.from_iterable(rows), len(rows), features)
    return None if x_NF is None else (x_NF, True)


def least_rows(body: bytes) -> int:
    """A number of rows that a body without text has at least, but for the few commas between its
    fields. Counted without parsing: a million small lists cost the parser seconds."""
    inner = body.count(b"[") + body.count(b"{") - 2  # the body, and the list of its rows
    return inner if inner > 0 else body.count(b",") + 1


def write_answer(
    served: Served, y_NT: np.ndarray, extrapolating_N: np.ndarray | None = None
) -> bytes:
    """The body of the answer: `{"y": […], "model": …, "version": …}`."""
    numbers = write_numbers(y_NT[:, 0] if y_NT.shape[1] == 1 else y_NT)
    end = served.tail
    if extrapolating_N is not None:
        end = b'%b,"extrapolating":%b}' % (end[:-1], orjson.dumps(extrapolating_N.tolist()))
    return b'{"y":%b%b' % (numbers, end)


def write_numbers(y: np.ndarray) -> bytes:
    """A JSON list of finite numbers."""
    # As float64, whose shortest text is the number itself; that of a float32 is another float64.
    whole = np.ascontiguousarray(y, dtype=np.float64)
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)
