"""An inference of the Open Inference Protocol v2, from its body to its answer, by either road."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import orjson

from service.api.body import parse_json
from service.api.v2_body import InferBody
from service.errors import Fault, InvalidRequestError
from service.schemas.v2 import InferRequest
from service.serving.inference import Inference
from service.serving.plain import write_numbers
from service.serving.pool import Served
from service.serving.tensor_rows import rows_of_tensors
from service.serving.tensors import Y, raw_tensor, tensors_of


class Inferred(NamedTuple):
    """An answer."""

    rows: int
    json: bytes
    tensor: memoryview | None
    """The bytes behind the JSON; None where the JSON holds the numbers."""


def parse(body: InferBody) -> InferRequest | None:
    """The JSON of a body; None where it has none.

    Raises:
        InvalidRequestError: it is not as the protocol has it.
    """
    return None if body.json is None else parse_json(body.json, InferRequest)


def infer(
    inference: Inference,
    served: Served,
    request: InferRequest | None,
    tensor_bytes: memoryview,
    max_rows: int,
) -> Inferred:
    """The answer of ``served`` to the JSON and the bytes of a body; without JSON, these are `x`.

    Raises:
        InvalidRequestError, UnseenCategoryError: it is not what the model takes.
    """
    bundle = served.predictor.bundle
    if request is None:
        tensors, binary = [raw_tensor(bundle, tensor_bytes)], True
    else:
        tensors, binary = tensors_of(request, tensor_bytes), wants_bytes(request)
    rows = rows_of_tensors(tensors, bundle, max_rows)
    y_NT = inference.answer(served, rows, dtype=np.float32).y_NT
    return write_inferred(served, request.id if request else None, y_NT, binary)


def wants_bytes(request: InferRequest) -> bool:
    """Whether the output is to come as bytes.

    Raises:
        InvalidRequestError: an output is asked for that there is not, or in a form of no meaning.
    """
    binary = bool(request.parameters and request.parameters.binary_data_output)
    for index, output in enumerate(request.outputs or ()):
        pointer, given = f"/outputs/{index}", output.parameters
        if output.name != Y or index:
            raise _refusal(f"{pointer}/name", "expected the one output y, once")
        if given is None:
            continue
        if given.classification:
            raise _refusal(f"{pointer}/parameters", "classification: regression has no classes")
        if given.shared_memory_region is not None:
            raise _refusal(f"{pointer}/parameters", "shared memory is not supported")
        if given.binary_data is not None:
            binary = given.binary_data
    return binary


def _refusal(pointer: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(f"{pointer}: {detail}", [Fault(pointer, detail)])


_JSON = (
    b'{"model_name":%b,"model_version":"%d"%b,'
    b'"outputs":[{"name":"y","datatype":"FP32","shape":[%d,%d],%b}]}'
)


def write_inferred(
    served: Served, request_id: str | None, y_NT: np.ndarray, binary: bool
) -> Inferred:
    """`InferResponse` of ``y_NT``, float32, without building it."""
    y_NT = y_NT.astype("<f4", order="C", copy=False)
    rows, targets = y_NT.shape
    if binary:
        what = b'"parameters":{"binary_data_size":%d}' % y_NT.nbytes
    else:
        what = b'"data":' + write_numbers(y_NT.ravel())
    told = b"" if request_id is None else b',"id":' + orjson.dumps(request_id)
    json = _JSON % (served.name_json, served.version, told, rows, targets, what)
    return Inferred(rows, json, y_NT.data.cast("B") if binary else None)
