"""The JSON before a tensor, told by its bytes.

A client sends the same JSON before each tensor of a shape again and again, but for an `id`, which
clients write first. What was made of it once would be made of it again, so it is not parsed again.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from ml.predictor import fit_float32
from service.api.inferring import Inferred, wants_bytes, write_inferred
from service.schemas.v2 import InferRequest
from service.serving.pool import Served
from service.serving.tensors import DTYPES, X

MAX_KNOWN = 4096
"""As many are remembered; then all are forgotten, and learned anew."""

MAX_JSON_BYTES = 1024

_ID = re.compile(rb'\{"id": ?"([ !#-\[\]-~]{0,128})", ?(?=")')
"""Printable ASCII without escapes: what else an id may be, the parser decides."""

FP32 = DTYPES["FP32"]


class Asked(NamedTuple):
    """What the JSON says: here is `x` in FP32."""

    shape: tuple[int, ...]
    request_id: str | None
    binary: bool
    """Whether the answer is to come as bytes."""

    def answer(self, served: Served, x: np.ndarray, max_rows: int) -> Inferred | None:
        """The answer of ``served`` to the float32 numbers ``x``, row-major; None where they are not
        as the model and the JSON have it.

        Raises:
            InputError: a row cannot be answered.
        """
        predictor, (rows, *others) = served.predictor, self.shape
        features = predictor.features
        if not 0 < rows <= max_rows or (others or [1]) != [features]:
            return None
        if len(x) != rows * features or predictor.bundle.categories or not fit_float32(x):
            return None
        y_NT = predictor.predict_array(x.reshape(rows, features), np.float32)
        return write_inferred(served, self.request_id, y_NT, self.binary)


def raw(size: int, features: int) -> Asked:
    """What a body of ``size`` bytes asks for that has no JSON."""
    return Asked((size // (features * FP32.itemsize), features), None, True)


class Tensors:
    """What is known of the JSON before tensors."""

    def __init__(self) -> None:
        self._known: dict[bytes, Asked] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, json: bytes) -> Asked | None:
        """What ``json`` asks for, where that is known."""
        asked = self._known.get(json)
        if asked is None and (found := _ID.match(json)):
            asked = self._known.get(b"{" + json[found.end() :])
            if asked is not None:
                return asked._replace(request_id=found[1].decode())
        return asked

    def learn(self, json: bytes, request: InferRequest) -> None:
        """Remember ``json``, which says ``request`` and was answered, if it is that of one tensor
        in FP32."""
        if len(json) > MAX_JSON_BYTES:
            return
        given = request.inputs[0]
        size = given.parameters.binary_data_size if given.parameters else None
        if len(request.inputs) > 1 or (given.name, given.datatype) != (X, "FP32"):
            return
        shape = tuple(given.shape)
        if len(shape) not in (1, 2) or math.prod(shape) * FP32.itemsize != size:
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        asked = Asked(shape, request.id, wants_bytes(request))
        if found := _ID.match(json):
            rest = b"{" + json[found.end() :]
            # Another id may come later, and would be the one that counts.
            if "id" not in InferRequest.model_validate_json(rest).model_fields_set:
                json, asked = rest, asked._replace(request_id=None)
        self._known[json] = asked
