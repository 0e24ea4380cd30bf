"""An inference whose numbers are JSON, read without pydantic where it is plain.

What is not plain is read by `service.api.inferring`, to the same answers (a property test holds
both to it).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

import msgspec
import numpy as np

from service.http.tensors import Asked
from service.serving.named import NOT_PLAIN, within_float32


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Input(_Strict):
    name: Literal["x"]
    shape: list[int]
    datatype: Literal["FP32"]


class _Flat(_Input):
    data: list[float]


class _Nested(_Input):
    data: list[list[float]]


class _OutputParameters(_Strict):
    binary_data: bool | None = None


class _Output(_Strict):
    name: Literal["y"]
    parameters: _OutputParameters | None = None


class _Parameters(_Strict):
    binary_data_output: bool | None = None


class _Asked(_Strict):
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None

    def wants_bytes(self) -> bool:
        """As `service.api.inferring.wants_bytes`, of one output at most."""
        of_output = self.outputs[0].parameters if self.outputs else None
        if of_output is not None and of_output.binary_data is not None:
            return of_output.binary_data
        return bool(self.parameters and self.parameters.binary_data_output)


class _AskedFlat(_Asked):
    inputs: list[_Flat] = msgspec.field(default_factory=list)


class _AskedNested(_Asked):
    inputs: list[_Nested] = msgspec.field(default_factory=list)


_flat = msgspec.json.Decoder(_AskedFlat).decode
_nested = msgspec.json.Decoder(_AskedNested).decode


def read_numbers(json: bytes) -> tuple[Asked, np.ndarray] | None:
    """What ``json`` asks for and its numbers, flat, each within float32; None where it is not
    plain."""
    read: _AskedFlat | _AskedNested
    try:
        # Of a nested list it stops at the first bracket.
        read = _flat(json)
    except NOT_PLAIN:
        try:
            read = _nested(json)
        except NOT_PLAIN:
            return None
    if len(read.inputs) != 1 or len(read.outputs or ()) > 1:
        return None
    (given,) = read.inputs
    shape = tuple(given.shape)
    cells: Iterable[float]
    if isinstance(given, _Flat):
        cells, count = given.data, len(given.data)
    else:
        if len(shape) != 2 or len(given.data) != shape[0]:
            return None
        if any(len(row) != shape[1] for row in given.data):
            return None
        cells, count = chain.from_iterable(given.data), shape[0] * shape[1]
    x = within_float32(cells, count, 1)
    if x is None or len(shape) not in (1, 2):
        return None
    return Asked(shape, read.id, read.wants_bytes()), x.ravel().astype(np.float32)
