"""Rows of numbers by feature name, read as arrays.

pydantic holds the interpreter for seconds where a body has a million cells, and with it the event
loop: 22 MB of 4 numbers a row take it 2.1 s, this 0.26.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from ml.predictor import fit_float32

NOT_PLAIN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises; the second where a string is not UTF-8."""

_UNFIT = re.compile(r'["\\\x00-\x1f\x7f-\x9f]')
"""What msgspec does not take in the name of a field."""


class NamedRows:
    """Reads `{"rows": [{…}, …]}` with every feature of ``names`` in each row, and numbers only."""

    def __init__(self, names: Sequence[str]) -> None:
        # A type of their own: less than half the time of a dictionary a row.
        fields = [f"f{index}" for index in range(len(names))]
        self._features = len(names)
        self._decode: Callable[[bytes], Any] | None = None
        if any(_UNFIT.search(name) for name in names):
            return
        row = msgspec.defstruct(
            "Row",
            [(field, float) for field in fields],
            rename=dict(zip(fields, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        body = msgspec.defstruct("Body", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
        self._decode = msgspec.json.Decoder(body).decode

    def __call__(self, body: bytes) -> np.ndarray | None:
        """The rows ``x_NF`` (float64), each number within float32; None where the body is not
        plain."""
        if self._decode is None:
            return None
        try:
            rows = self._decode(body).rows
        except NOT_PLAIN:
            return None
        cells = chain.from_iterable(map(msgspec.structs.astuple, rows))
        return within_float32(cells, len(rows), self._features)


def within_float32(cells: Iterable[float], rows: int, features: int) -> np.ndarray | None:
    """``cells`` as ``x_NF`` (float64); None where there are none, or one is beyond float32."""
    return bounded(np.fromiter(cells, np.float64, rows * features).reshape(rows, features))


def bounded(x_NF: np.ndarray) -> np.ndarray | None:
    """``x_NF``; None where there are no rows, or a number is beyond float32."""
    return x_NF if len(x_NF) and fit_float32(x_NF) else None
