"""What is predicted from, as bodies; and predictions back in the kind that was given.

A number, lists, rows by name and frames go as JSON. So do arrays, but for those of float32: they go
as bytes, by the Open Inference Protocol v2, and come back as float32. Which way is taken depends on
the type alone, never on the size, so the same question has the same digits.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from service.remote import frames
from service.remote.steps import Answer, Call
from service.schemas.predict import PredictResponse

JSON = "application/json"
OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Prediction:
    """Predictions, and the one version that made all of them."""

    y: Any
    """In the kind that was given: a float for a number, a list for a list, an array for an array,
    a series for a frame; with several targets a list, an array or a frame of T columns."""
    model: str
    version: int
    extrapolating: list[bool] | None = None
    """With `explain`: whether each row has a feature below or above all training rows."""


def predict_call(path: str, x: Any, explain: bool) -> Call[Prediction]:
    """The request of a prediction; ``path`` ends before `/predict` or, under /v2, `/infer`.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
        TypeError: it is nothing to predict from.
        OSError: the file of rows cannot be read.
    """
    if is_array(x) and x.dtype.name == "float32" and x.ndim in (1, 2) and not explain:
        return _binary_call(f"/v2{path}/infer", x)
    if isinstance(x, os.PathLike):
        return _csv_call(f"{path}/predict", Path(x), explain)
    body, give_back = _body(x)
    asked = {**body, "explain": True} if explain else body

    def parse(answer: Answer) -> Prediction:
        told = PredictResponse.model_validate_json(answer.content)
        return Prediction(give_back(told.y), told.model, told.version, told.extrapolating)

    # Nothing changes by a prediction, so it may be asked for again.
    return Call(
        "POST",
        f"{path}/predict",
        parse,
        headers={"Content-Type": JSON},
        body=to_json(asked),
        repeatable=True,
    )


def _csv_call(path: str, file: Path, explain: bool) -> Call[Prediction]:
    return Call(
        "POST",
        path,
        lambda answer: Prediction(**PredictResponse.model_validate_json(answer.content).__dict__),
        query=(("explain", "true"),) if explain else (),
        headers={"Content-Type": "text/csv"},
        body=file.read_bytes(),
        repeatable=True,
    )


def is_array(value: Any) -> bool:
    """Whether it is an array of numpy, which then is loaded."""
    return any(
        kind.__module__ == "numpy" and kind.__name__ == "ndarray" for kind in type(value).mro()
    )


def _body(x: Any) -> tuple[dict[str, Any], Callable[[list[Any]], Any]]:
    if frames.is_frame(x):
        return {"rows": frames.rows_of(x)}, lambda y: _beside(x, y)
    if frames.is_series(x):
        return {"x": x.to_list()}, lambda y: _beside(x, y)
    if is_array(x):
        if x.ndim not in (1, 2):
            raise TypeError(f"expected an array of one or two dimensions, got {x.ndim}")
        return {"x": x.tolist()}, lambda y: _array(y, x)
    if isinstance(x, Real) and not isinstance(x, bool):
        return {"x": float(x)}, lambda y: y[0]
    if isinstance(x, Mapping):
        return {"rows": [dict(x)]}, lambda y: y[0]
    if hasattr(x, "__iter__") and not isinstance(x, str | bytes):
        rows = list(x)
        if rows and isinstance(rows[0], Mapping):
            return {"rows": [dict(row) for row in rows]}, lambda y: y
        return {"x": rows}, lambda y: y
    kind = type(x).__name__
    raise TypeError(f"cannot predict from {kind}: give numbers, lists, an array, a frame or rows")


def _beside(frame: Any, y: list[Any]) -> Any:
    several = y and isinstance(y[0], list)
    if several and not frames.is_frame(frame):
        return y
    return frames.frame_like(frame, y) if several else frames.series_like(frame, y)


def _array(y: list[Any], like: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    return numpy.array(y, dtype="float32" if like.dtype.name == "float32" else "float64")


def _binary_call(path: str, x: Any) -> Call[Prediction]:
    rows, features = x.shape[0], x.shape[1] if x.ndim == 2 else 1
    tensor = x.astype("<f4", copy=False).tobytes()
    asked = {
        "inputs": [
            {
                "name": "x",
                "shape": [rows, features],
                "datatype": "FP32",
                "parameters": {"binary_data_size": len(tensor)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    head = to_json(asked)

    def parse(answer: Answer) -> Prediction:
        length = int(answer.headers[HEADER_LENGTH])
        told = json.loads(answer.content[:length])
        numpy: Any = sys.modules["numpy"]
        y_NT = numpy.frombuffer(answer.content, "<f4", offset=length)
        y_NT = y_NT.reshape(told["outputs"][0]["shape"]).astype("float32")
        y = y_NT[:, 0] if y_NT.shape[1] == 1 else y_NT
        return Prediction(y, told["model_name"], int(told["model_version"]))

    headers = {"Content-Type": OCTETS, HEADER_LENGTH: str(len(head))}
    return Call("POST", path, parse, headers=headers, body=head + tensor, repeatable=True)


def to_json(value: Any) -> bytes:
    """A body.

    Raises:
        ValueError: a number in it is not finite; the message says where.
        TypeError: something in it is no JSON.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError as error:
        place = _not_finite(value, "")
        if place is None:
            raise
        raise ValueError(f"{place}: expected a finite number") from error
    return text.encode()


def _plain(value: Any) -> Any:
    """What JSON can hold, of scalars and arrays of numpy and of pydantic models."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected numbers, strings, lists or objects, got {type(value).__name__}")


def _not_finite(value: Any, pointer: str) -> str | None:
    """The JSON pointer of the first number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return pointer
    pairs: Any = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    elif hasattr(value, "tolist"):
        return _not_finite(value.tolist(), pointer)
    places = (_not_finite(inner, f"{pointer}/{name}") for name, inner in pairs)
    return next((place for place in places if place is not None), None)
