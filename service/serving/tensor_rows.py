"""Tensors of a request -> its rows, without a copy where it can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ml.artifact import Bundle
from ml.predictor import fit_float32
from ml.spec.base import FLOAT32_MAX
from service.errors import Fault, InvalidRequestError
from service.serving.rows import Rows, encoded, too_many_rows
from service.serving.tensors import Tensor, X, datatype_of, inputs_of

Column = list[float] | list[bool] | list[str]


def rows_of_tensors(tensors: Sequence[Tensor], bundle: Bundle, max_rows: int) -> Rows:
    """The rows of a request.

    Raises:
        InvalidRequestError: an input is unknown, missing, or there twice; a shape or datatype is
            not the model's; a number is not finite or beyond float32; too many rows.
        UnseenCategoryError: a value of a category that the training rows did not have.
    """
    wanted = [spec.name for spec in inputs_of(bundle)]
    by_name: dict[str, Tensor] = {}
    for index, tensor in enumerate(tensors):
        if tensor.name not in wanted or tensor.name in by_name:
            what = "is there twice" if tensor.name in by_name else "is none of this model"
            said = f"inputs/{index} {what}: expected {', '.join(wanted)}"
            raise InvalidRequestError(said, [Fault(f"/inputs/{index}/name", said)])
        by_name[tensor.name] = tensor
    missing = [name for name in wanted if name not in by_name]
    if missing:
        said = f"missing inputs: {', '.join(missing)}"
        raise InvalidRequestError(said, [Fault("/inputs", said)])
    if not bundle.categories:
        return _rows_of_x(by_name[X], bundle)
    return _rows_of_features([by_name[name] for name in wanted], bundle, max_rows)


def _rows_of_x(tensor: Tensor, bundle: Bundle) -> Rows:
    features = len(bundle.feature_names)
    shape = tensor.shape
    is_flat_line = features == 1 and len(shape) == 1
    if not is_flat_line and (len(shape) != 2 or shape[1] != features):
        raise tensor.refusal(f"expected shape [-1, {features}], got {list(shape)}")
    if shape[0] == 0:
        raise tensor.refusal("expected at least one row")
    x_NF = torch.from_numpy(_floats(tensor, features).reshape(shape[0], features))
    # JSON data that are flat have a place for each row only where a row is one number.
    each = tensor.row_length is not None and (tensor.row_length > 0 or features == 1)
    return Rows(x_NF, tensor.pointer, rows_have_pointers=each)


def _floats(tensor: Tensor, features: int) -> np.ndarray:
    """The numbers of a tensor as float32 or float64, each within float32."""
    values = tensor.values
    if not isinstance(values, np.ndarray) or tensor.datatype == "BOOL":
        raise tensor.refusal(f"expected numbers such as FP32, got {tensor.datatype}")
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    floats = values.astype(np.float32) if values.dtype.itemsize < 4 else values
    if not fit_float32(floats):
        index = int(np.argmin(np.abs(floats) <= FLOAT32_MAX))
        where = f"row {index // features}" + (f", feature {index % features}" * (features > 1))
        raise tensor.refusal(f"{where}: expected a finite number within float32", index)
    return floats


def _rows_of_features(tensors: list[Tensor], bundle: Bundle, max_rows: int) -> Rows:
    count = tensors[0].shape[0] if tensors[0].shape else 0
    columns = []
    for tensor in tensors:
        if tensor.shape not in ((count,), (count, 1)):
            said = f"expected shape [{count}, 1], as many rows as {tensors[0].name}, "
            raise tensor.refusal(f"{said}got {list(tensor.shape)}")
        if count == 0:
            raise tensor.refusal("expected at least one row")
        if count > max_rows:
            raise too_many_rows(f"{count:,}", max_rows, tensor.pointer)
        columns.append(_column(tensor, bundle))
    by_name = {tensor.name: tensor for tensor in tensors}

    def place(index: int, name: str) -> tuple[str, str]:
        (fault,) = by_name[name].refusal("", index).faults
        return f"row {index}", fault.pointer

    cells = [list(row) for row in zip(*columns, strict=True)]
    return Rows(encoded(cells, bundle, place), "/inputs", rows_have_pointers=False)


def _column(tensor: Tensor, bundle: Bundle) -> Column:
    wanted = datatype_of(tensor.name, bundle)
    if wanted == "BYTES":
        if isinstance(tensor.values, np.ndarray):
            raise tensor.refusal(f"expected BYTES, got {tensor.datatype}")
        return tensor.values
    if wanted == tensor.datatype == "BOOL":
        assert isinstance(tensor.values, np.ndarray)
        numbers: list[float] = tensor.values.astype(np.float64).tolist()
        return numbers
    found: list[float] = _floats(tensor, 1).astype(np.float64).tolist()
    return found
