"""Tensors of the Open Inference Protocol v2: what a model takes and gives, what a request holds.

A model of numbers takes one input, `x` [N, F]. A model with categories takes an input for each of
its features: text cannot stand among numbers in one tensor.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ml.artifact import Bundle
from service.errors import Fault, InvalidRequestError
from service.schemas.v2 import Datatype, InferInput, InferRequest

X, Y = "x", "y"

_FORMATS = {
    "BOOL": "|u1",
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
DTYPES = {name: np.dtype(form) for name, form in _FORMATS.items()}
"""What an element of each datatype is: little-endian. BYTES has no dtype."""
assert {*DTYPES, "BYTES"} == set(get_args(Datatype))


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model; -1 in its shape is any number of rows."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """An input of a request; ``values`` are flat and row-major."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    values: np.ndarray | list[str]
    pointer: str
    """JSON pointer of the input, of its data where they are JSON; empty for a raw body."""
    row_length: int | None = None
    """Of JSON data: elements of a row where they are nested, 0 where they are flat."""

    def refusal(self, detail: str, index: int | None = None) -> InvalidRequestError:
        """An error about this input, or about one element of it."""
        pointer = self.pointer
        if index is not None and self.row_length is not None:
            length = self.row_length
            place = f"{index // length}/{index % length}" if length else str(index)
            pointer = f"{pointer}/{place}"
        said = f"input {self.name}: {detail}"
        return InvalidRequestError(said, [Fault(pointer, said)])


def inputs_of(bundle: Bundle) -> tuple[TensorSpec, ...]:
    """The inputs that a model takes."""
    if not bundle.categories:
        return (TensorSpec(X, "FP32", (-1, len(bundle.feature_names))),)
    return tuple(
        TensorSpec(name, datatype_of(name, bundle), (-1, 1)) for name in bundle.feature_names
    )


def datatype_of(feature: str, bundle: Bundle) -> Datatype:
    """What the input of a feature holds, in a model with categories."""
    if feature in bundle.categories:
        return "BYTES"
    return "BOOL" if feature in bundle.booleans else "FP64"


def outputs_of(bundle: Bundle) -> tuple[TensorSpec, ...]:
    """The outputs that a model gives."""
    return (TensorSpec(Y, "FP32", (-1, len(bundle.target_names))),)


def tensors_of(request: InferRequest, binary: memoryview) -> list[Tensor]:
    """The inputs of a request; ``binary`` is what follows the JSON.

    Raises:
        InvalidRequestError: the data of an input do not fit its shape and datatype.
    """
    tensors, place = [], 0
    for index, given in enumerate(request.inputs):
        pointer = f"/inputs/{index}"
        size = given.parameters.binary_data_size if given.parameters else None
        if given.parameters and given.parameters.shared_memory_region is not None:
            raise _refusal(given, pointer, "shared memory is not supported: send the data")
        if (size is None) == (given.data is None):
            raise _refusal(given, pointer, "expected either data or the parameter binary_data_size")
        if size is None:
            tensors.append(_from_json(given, f"{pointer}/data"))
            continue
        if size > len(binary) - place:
            said = f"binary_data_size is {size}, but {len(binary) - place} bytes are left"
            raise _refusal(given, pointer, said)
        tensors.append(_from_bytes(given, binary[place : place + size], pointer))
        place += size
    if place != len(binary):
        said = f"{len(binary) - place} bytes follow the JSON that belong to no input"
        raise InvalidRequestError(said, [Fault("", said)])
    return tensors


def raw_tensor(bundle: Bundle, binary: memoryview) -> Tensor:
    """The one input of a body without JSON, in the datatype of the metadata.

    Raises:
        InvalidRequestError: the model has several inputs, or the bytes make no whole rows.
    """
    spec = inputs_of(bundle)[0]
    if bundle.categories:
        said = "a body without JSON is for models with the one input x: send JSON before the bytes"
        raise InvalidRequestError(said, [Fault("", said)])
    row_bytes = DTYPES[spec.datatype].itemsize * spec.shape[1]
    if not binary or len(binary) % row_bytes:
        said = f"expected rows of {row_bytes} bytes ({spec.shape[1]} × {spec.datatype}), "
        said += f"got {len(binary)} bytes"
        raise InvalidRequestError(said, [Fault("", said)])
    shape = len(binary) // row_bytes, spec.shape[1]
    return Tensor(spec.name, spec.datatype, shape, _numbers_in(binary, spec.datatype), "")


def _refusal(given: InferInput, pointer: str, detail: str) -> InvalidRequestError:
    return Tensor(given.name, given.datatype, (), [], pointer).refusal(detail)


def _numbers_in(binary: memoryview, datatype: Datatype) -> np.ndarray:
    values = np.frombuffer(binary, DTYPES[datatype])
    # Behind another tensor it may begin anywhere.
    return values if values.flags.aligned else values.copy()


def _from_bytes(given: InferInput, binary: memoryview, pointer: str) -> Tensor:
    count, datatype = math.prod(given.shape), given.datatype
    values: np.ndarray | list[str]
    if datatype == "BYTES":
        values = _texts_in(given, binary, pointer)
    else:
        wanted = count * DTYPES[datatype].itemsize
        if len(binary) != wanted:
            said = f"shape {given.shape} of {datatype} takes {wanted} bytes, "
            said += f"binary_data_size is {len(binary)}"
            raise _refusal(given, pointer, said)
        values = _numbers_in(binary, datatype)
        if datatype == "BOOL" and bool((values > 1).any()):
            raise _refusal(given, pointer, "a BOOL is a byte of 0 or 1")
    return Tensor(given.name, datatype, tuple(given.shape), values, pointer)


def _texts_in(given: InferInput, binary: memoryview, pointer: str) -> list[str]:
    """Each element is four bytes that tell its length, and as many bytes of UTF-8."""
    count, place = math.prod(given.shape), 0
    texts: list[str] = []
    # Each takes four bytes at least: a shape cannot make this loop longer than the body.
    while place + 4 <= len(binary) and len(texts) < count:
        (length,) = struct.unpack_from("<I", binary, place)
        place += 4 + length
        if place > len(binary):
            break
        try:
            texts.append(str(binary[place - length : place], "utf-8"))
        except UnicodeDecodeError as error:
            raise _refusal(given, pointer, f"element {len(texts)} is no UTF-8") from error
    if len(texts) != count or place != len(binary):
        said = f"the {len(binary)} bytes do not hold the {count} elements of shape {given.shape}"
        raise _refusal(given, pointer, said)
    return texts


def _from_json(given: InferInput, pointer: str) -> Tensor:
    data: list[Any] = given.data or []
    shape, row_length = tuple(given.shape), 0
    if data and isinstance(data[0], list):
        row_length = len(data[0])
        for index, row in enumerate(data):
            if len(row) != row_length:
                said = f"row {index} has {len(row)} elements, row 0 has {row_length}"
                raise _refusal(given, f"{pointer}/{index}", said)
        if (len(data), row_length) != shape:
            said = f"its shape is {list(shape)}, its data are [{len(data)}, {row_length}]"
            raise _refusal(given, pointer, said)
        data = [element for row in data for element in row]
    if len(data) != math.prod(shape):
        said = f"shape {list(shape)} takes {math.prod(shape)} elements, got {len(data)}"
        raise _refusal(given, pointer, said)
    tensor = Tensor(given.name, given.datatype, shape, [], pointer, row_length)
    if data:
        kind = {"BYTES": str, "BOOL": bool}.get(given.datatype, float)
        # A body's list holds one kind; the schema says so.
        if type(data[0]) is not kind:
            words = {str: "text", bool: "true or false", float: "numbers"}
            said = f"{given.datatype} takes {words[kind]}, got {words[type(data[0])]}"
            raise tensor.refusal(said, 0)
    values = data if given.datatype == "BYTES" else _converted(data, tensor)
    return Tensor(given.name, given.datatype, shape, values, pointer, row_length)


def _converted(data: list[float], tensor: Tensor) -> np.ndarray:
    """Numbers of JSON in the datatype that the request says they are of."""
    wanted = DTYPES[tensor.datatype]
    values = np.array(data, np.float64)
    if wanted.kind in "iu" and tensor.datatype != "BOOL":
        limits = np.iinfo(wanted)
        # As a float, the greatest int64 is 2**63, which is no int64.
        below = values < float(limits.max) if wanted.itemsize == 8 else values <= limits.max
        fits = below & (values >= float(limits.min)) & (values == np.trunc(values))
        bad = np.flatnonzero(~fits)
    else:
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(values.astype(wanted)))
    if len(bad):
        raise tensor.refusal(f"element {bad[0]} is no {tensor.datatype}", int(bad[0]))
    return values.astype(wanted)
