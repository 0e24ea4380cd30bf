"""A plain prediction: `{"x": …}` with numbers, read and answered as arrays.

What is not plain is read by `service.serving.rows`, which also finds the words for what is wrong.
Both give the same answers (a property test holds them to it).
"""

from __future__ import annotations

import struct
from itertools import chain

import msgspec
import numpy as np
import orjson

from ml.spec.base import FLOAT32_MAX
from service.serving.named import NOT_PLAIN, bounded, within_float32
from service.serving.pool import Served


class _OneFeature(msgspec.Struct, forbid_unknown_fields=True):
    x: float | list[float]


class _ManyFeatures(msgspec.Struct, forbid_unknown_fields=True):
    x: list[list[float]]


# msgspec takes neither NaN nor Infinity, neither true nor "1" for a number.
_one_feature = msgspec.json.Decoder(_OneFeature).decode
_many_features = msgspec.json.Decoder(_ManyFeatures).decode


def read_number(body: bytes) -> float | list[float] | None:
    """The ``x`` of a short body for a model of one feature, each within float32; None where the
    body is not plain. As `read_rows`, without an array, which up to some fifty numbers is faster.
    """
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
    try:
        if features == 1:
            x = _one_feature(body).x
            in_list = not isinstance(x, float)
            x_NF = bounded(_array([x] if isinstance(x, float) else x)[:, None])
            return None if x_NF is None else (x_NF, in_list)
        rows = _many_features(body).x
    except NOT_PLAIN:
        return None
    if any(len(row) != features for row in rows):
        return None
    x_NF = within_float32(chain.from_iterable(rows), len(rows), features)
    return None if x_NF is None else (x_NF, True)


PACKED = 8192
"""Numbers that are packed at once: what lies between is small enough to be used again."""


def _array(x: list[float]) -> np.ndarray:
    """As `np.fromiter`, which for 100,000 takes 1.2 ms; this takes 0.8."""
    x_N = np.empty(len(x))
    for start in range(0, len(x), PACKED):
        part = x[start : start + PACKED]
        struct.pack_into(f"{len(part)}d", x_N.data, x_N.itemsize * start, *part)
    return x_N


def least_rows(body: bytes) -> int:
    """A number of rows that a body without text has at least, but for the few commas between its
    fields. Counted without parsing: a million small lists cost the parser seconds."""
    inner = _count(body, b"[") + _count(body, b"{") - 2  # the body, and the list of its rows
    return inner if inner > 0 else _count(body, b",") + 1


COUNTED_BYTES = 16 * 1024
"""Bytes that are compared at once: they stay in the nearest cache."""


def _count(body: bytes, byte: bytes) -> int:
    """How often ``byte`` is there. `bytes.count` looks for one after the other, which for 100,000
    commas takes 1 ms; this takes 0.1."""
    if len(body) <= COUNTED_BYTES:
        return body.count(byte)
    values, wanted = np.frombuffer(body, np.uint8), ord(byte)
    parts = (values[i : i + COUNTED_BYTES] for i in range(0, len(body), COUNTED_BYTES))
    return sum(int(np.count_nonzero(part == wanted)) for part in parts)


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
