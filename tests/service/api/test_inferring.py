"""Answers of the Open Inference Protocol v2 are written without their schema, as it would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.predictor import Predictor
from service.api.inferring import write_inferred
from service.schemas.v2 import InferResponse, InferResponseOutput
from service.serving.pool import Served
from tests.service.making import CPU, line

SERVED = Served('a "model"', 12, 0, "artifact", Predictor(line(1.0), CPU))
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def by_schema(request_id: str | None, y_NT: np.ndarray, binary: bool) -> bytes:
    output = InferResponseOutput(
        name="y",
        datatype="FP32",
        shape=list(y_NT.shape),
        parameters={"binary_data_size": y_NT.nbytes} if binary else None,
        data=None if binary else y_NT.ravel().tolist(),
    )
    answer = InferResponse(
        model_name=SERVED.model, model_version="12", id=request_id, outputs=[output]
    )
    return answer.model_dump_json(exclude_none=True).encode()


@given(
    rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20),
    request_id=st.none() | st.text(),
    binary=st.booleans(),
)
def test_an_answer_is_what_its_schema_would_write(
    rows: list[tuple[float, float]], request_id: str | None, binary: bool
) -> None:
    y_NT = np.array(rows, np.float32)
    answer = write_inferred(SERVED, request_id, y_NT, binary)
    assert answer.json == by_schema(request_id, y_NT, binary)
    assert answer.rows == len(rows)
    assert answer.tensor == (y_NT.tobytes() if binary else None)


@pytest.mark.parametrize(
    "y_NT",
    [
        np.array([[1.5], [2.5]], np.float64),
        np.array([[1.5, 2.5], [3.5, 4.5]], ">f4"),
        np.asfortranarray(np.array([[1.5, 2.5], [3.5, 4.5]], np.float32)),
    ],
    ids=["double", "big-endian", "column-major"],
)
def test_a_tensor_is_little_endian_and_row_major(y_NT: np.ndarray) -> None:
    tensor = write_inferred(SERVED, None, y_NT, True).tensor
    assert tensor is not None
    assert np.frombuffer(tensor, "<f4").tolist() == y_NT.ravel().tolist()
