"""Which version answers, which rows are meant, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml.artifact import Bundle
from ml.spec.base import FLOAT32_MAX
from service.artifacts.local import LocalArtifacts
from service.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    NotReadyError,
    VersionNotFoundError,
    VersionUnloadableError,
)
from service.registry.registry import Registry
from service.schemas.predict import PredictRequest
from service.serving.inference import Inference
from service.serving.plain import write_answer
from service.serving.pool import Pool
from service.serving.rollout import Rollout
from service.serving.rows import Rows, rows_of, rows_of_csv
from tests.service.making import CPU, Place, line, predicted

ONE = line(2.0, 1.0, features=("x",))
TWO = line([2.0, 3.0], 1.0, features=("rooms", "area"))


def asked(**fields: Any) -> PredictRequest:
    return PredictRequest.model_validate_json(json.dumps(fields))


# ---- JSON ----


@pytest.mark.parametrize(
    ("bundle", "fields", "rows"),
    [
        (ONE, {"x": 0.5}, [[0.5]]),
        (ONE, {"x": 3}, [[3.0]]),
        (ONE, {"x": [0.5, 1]}, [[0.5], [1.0]]),
        (ONE, {"x": [[0.5], [1]]}, [[0.5], [1.0]]),
        (ONE, {"rows": [{"x": 0.5}, {"x": 1}]}, [[0.5], [1.0]]),
        (TWO, {"x": [[1, 2], [3, 4]]}, [[1.0, 2.0], [3.0, 4.0]]),
        (TWO, {"rows": [{"area": 2, "rooms": 1}, {"rooms": 3, "area": 4}]}, [[1, 2], [3, 4]]),
        (ONE, {"x": [FLOAT32_MAX, -FLOAT32_MAX]}, [[FLOAT32_MAX], [-FLOAT32_MAX]]),
    ],
)
def test_rows_come_in_every_form_that_is_meant(
    bundle: Bundle, fields: dict[str, Any], rows: list[list[float]]
) -> None:
    x_NF = rows_of(asked(**fields), bundle).x_NF
    assert x_NF.dtype == torch.float64
    assert x_NF.tolist() == rows


@pytest.mark.parametrize(
    ("bundle", "fields", "pointer", "detail"),
    [
        (ONE, {"x": [[1.0], [1.0, 2.0]]}, "/x/1", "expected 1 features, got 2 in row 1"),
        (TWO, {"x": [[1.0, 2.0], [3.0]]}, "/x/1", "expected 2 features, got 1 in row 1"),
        (TWO, {"x": [[], [3.0]]}, "/x/0", "expected 2 features, got 0 in row 0"),
        (TWO, {"x": [1.0, 2.0]}, "/x", "expected rows of 2 features such as [[…]]"),
        (
            TWO,
            {"rows": [{"rooms": 1, "area": 2}, {"rooms": 1}]},
            "/rows/1",
            "row 1: expected the features rooms, area; missing area",
        ),
        (
            TWO,
            {"rows": [{"rooms": 1, "area": 2, "floor": 3}]},
            "/rows/0",
            "row 0: expected the features rooms, area; 1 unknown",
        ),
        (
            TWO,
            {"rows": [{"Rooms": 1, "area": 2}]},
            "/rows/0",
            "row 0: expected the features rooms, area; missing rooms; 1 unknown",
        ),
    ],
)
def test_rows_that_do_not_fit_the_model_are_pointed_at(
    bundle: Bundle, fields: dict[str, Any], pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rows_of(asked(**fields), bundle)
    (fault,) = caught.value.faults
    assert fault.pointer == pointer
    assert fault.detail.startswith(detail)


def test_one_number_for_a_model_of_several_features_is_refused(inference: Inference) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        inference.answer(served(inference, "two"), rows_of(asked(x=1.0), TWO))
    assert [fault.pointer for fault in caught.value.faults] == ["/x"]
    assert "expected 2 features" in caught.value.detail


# ---- CSV ----


@pytest.mark.parametrize(
    ("bundle", "text", "rows"),
    [
        (ONE, "x\n0.5\n1\n", [[0.5], [1.0]]),
        (ONE, "x\r\n0.5\r\n1", [[0.5], [1.0]]),
        (ONE, "\ufeffx\n0.5\n", [[0.5]]),
        (ONE, "x\n 0.5 \n\n-1e-3\n", [[0.5], [-0.001]]),
        (ONE, '"x"\n"0.5"\n', [[0.5]]),
        (TWO, "rooms,area\n1,2\n3,4\n", [[1.0, 2.0], [3.0, 4.0]]),
        (TWO, "area, rooms\n2,1\n", [[1.0, 2.0]]),
    ],
)
def test_a_csv_is_read_by_its_header(bundle: Bundle, text: str, rows: list[list[float]]) -> None:
    assert rows_of_csv(text.encode(), bundle, 10).x_NF.tolist() == rows


@pytest.mark.parametrize(
    ("bundle", "body", "detail"),
    [
        (ONE, b"", "line 1: expected the header x"),
        (ONE, b"\n\n", "line 1: expected the header x"),
        (ONE, b"0.5\n", "line 1: expected the header x"),
        (ONE, b"x\n", "expected at least one line below the header"),
        (ONE, b"x\n\n\n", "expected at least one line below the header"),
        (TWO, b"rooms\n1\n", "line 1: expected the header rooms, area"),
        (TWO, b"rooms,area,floor\n1,2,3\n", "line 1: expected the header rooms, area"),
        (TWO, b"rooms,rooms\n1,2\n", "line 1: expected the header rooms, area"),
        (TWO, b"rooms,area\n1,2\n3\n", "line 3: expected 2 values, got 1"),
        (TWO, b"rooms,area\n1,2\n\n3,4,5\n", "line 4: expected 2 values, got 3"),
        (TWO, b"area,rooms\n1,\n", "line 2, column rooms: expected a number within float32"),
        (ONE, b"x\n1\ntwo\n", "line 3, column x: expected a number within float32"),
        (ONE, b"x\nnan\n", "line 2, column x: expected a number within float32"),
        (ONE, b"x\n-Infinity\n", "line 2, column x: expected a number within float32"),
        (ONE, b"x\n1e39\n", "line 2, column x: expected a number within float32"),
        (ONE, b"x\n1e400\n", "line 2, column x: expected a number within float32"),
        (ONE, b"x\n1_000\n", "line 2, column x: expected a number within float32"),
        (ONE, "x\n١\n".encode(), "line 2, column x: expected a number within float32"),
        (ONE, b"x\ntrue\n", "line 2, column x: expected a number within float32"),
        (ONE, b"x\n\xff\n", "the body is no CSV in UTF-8"),
        (ONE, b'x\n"1\n', "the body is no CSV in UTF-8"),
        (ONE, b"x\n1\x00\n", "line 2, column x: expected a number within float32"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused_with_line_and_column(
    bundle: Bundle, body: bytes, detail: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rows_of_csv(body, bundle, 10)
    (fault,) = caught.value.faults
    assert fault.pointer == ""
    assert fault.detail.startswith(detail)


def test_a_cell_of_any_length_is_refused_or_read() -> None:
    # At which length csv itself gives up is one setting for the whole process.
    with pytest.raises(InvalidRequestError):
        rows_of_csv(b"x\n" + b"1" * 200_000, ONE, 10)
    padded = b"x\n" + b" " * 100_000 + b"1\n"
    assert rows_of_csv(padded, ONE, 10).x_NF.tolist() == [[1]]


def test_a_csv_is_read_no_further_than_it_may_go() -> None:
    assert len(rows_of_csv(b"x\n1\n\n2\n3\n", ONE, 3).x_NF) == 3
    # What comes after the bound is not looked at.
    with pytest.raises(InvalidRequestError, match="more than 3 rows sent, at most 3 allowed"):
        rows_of_csv(b"x\n1\n2\n3\n4\nrubbish\n", ONE, 3)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
@hypothesis_settings(deadline=None, max_examples=200)
def test_no_bytes_make_the_csv_reader_stumble(body: bytes) -> None:
    for content in (body, b"x\n" + body):
        try:
            rows = rows_of_csv(content, ONE, 1000)
        except InvalidRequestError:
            continue
        assert bool(rows.x_NF.isfinite().all())


# ---- answers ----


@pytest.fixture
def pool() -> Pool:
    return Pool(2)


@pytest.fixture
def rollout(place: Place, pool: Pool) -> Rollout:
    return Rollout(place.database, place.artifacts, pool, CPU, "node", 0, 1)


@pytest.fixture
def inference(place: Place, pool: Pool, rollout: Rollout) -> Inference:
    place.publish(ONE)
    place.publish(TWO, model="two")
    place.publish(line([[2.0], [3.0]], [1.0, -1.0]), model="targets")
    place.publish(line(1e38, 0.0), model="steep")
    rollout.step(0)
    registry = Registry(place.database, place.artifacts)
    return Inference(pool, registry, rollout, max_rows=5)


def served(inference: Inference, model: str) -> Any:
    found = inference.active(model)
    assert found is not None
    return found


def test_an_answer_names_its_version_and_has_one_number_a_row(inference: Inference) -> None:
    default = served(inference, "default")
    answer = inference.answer(default, rows_of(asked(x=[0.5, 1.0]), ONE))
    assert json.loads(write_answer(default, answer.y_NT)) == {
        "y": predicted(ONE, [0.5, 1.0]),
        "model": "default",
        "version": 1,
    }


def test_an_answer_for_several_targets_has_one_list_a_row(inference: Inference) -> None:
    answer = inference.answer(served(inference, "targets"), rows_of(asked(x=[1.0, 2.0]), ONE))
    assert answer.y_NT.tolist() == [[3.0, 2.0], [5.0, 5.0]]


def test_more_rows_than_allowed_are_refused_with_figure_and_bound(inference: Inference) -> None:
    inference.answer(served(inference, "default"), rows_of(asked(x=[1.0] * 5), ONE))
    with pytest.raises(InvalidRequestError, match="6 rows sent, at most 5 allowed") as caught:
        inference.answer(served(inference, "default"), rows_of(asked(x=[1.0] * 6), ONE))
    assert [fault.pointer for fault in caught.value.faults] == ["/x"]


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        (rows_of(asked(x=[1.0, 2.0, 5.0]), ONE), "/x/2"),
        (rows_of(asked(x=[[1.0], [5.0]]), ONE), "/x/1"),
        (rows_of(asked(rows=[{"x": 5.0}]), ONE), "/rows/0"),
        (rows_of(asked(x=5.0), ONE), "/x"),
        (rows_of_csv(b"x\n1\n5\n", ONE, 10), ""),
    ],
)
def test_an_answer_beyond_float32_is_refused_and_its_row_pointed_at(
    inference: Inference, rows: Rows, pointer: str
) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"beyond float32 \(model steep, version 1\)"
    ) as e:
        inference.answer(served(inference, "steep"), rows)
    assert [fault.pointer for fault in e.value.faults] == [pointer]


# ---- which version ----


def test_a_version_is_found_by_number_active_or_not(
    place: Place, inference: Inference, rollout: Rollout
) -> None:
    place.publish(line(7.0), active=False)
    second = inference.version("default", 2)
    assert (second.model, second.version) == ("default", 2)
    assert inference.version("default", 2).predictor is second.predictor
    assert inference.version("default", 1).predictor is served(inference, "default").predictor


def test_a_version_that_is_not_there_or_cannot_be_loaded_is_named(
    place: Place, inference: Inference
) -> None:
    with pytest.raises(ModelNotFoundError):
        inference.version("nobody", 1)
    with pytest.raises(VersionNotFoundError):
        inference.version("default", 2)
    place.publish(line(7.0), active=False)
    place.damage(place.artifact_of(2))
    with pytest.raises(VersionUnloadableError, match="version 2 of model default cannot be loaded"):
        inference.version("default", 2)


def test_the_reason_is_told_where_no_version_serves(place: Place, inference: Inference) -> None:
    assert inference.active("nobody") is None
    with pytest.raises(ModelNotFoundError):
        inference.require_active("nobody")
    place.publish(model="fresh")
    with pytest.raises(NotReadyError, match="not loaded yet"):
        inference.require_active("fresh")
    assert inference.require_active("default") is inference.active("default")


def test_a_version_that_is_loaded_answers_although_its_files_are_gone(
    place: Place, inference: Inference
) -> None:
    LocalArtifacts(place.settings.artifacts_dir).delete(place.artifact_of(1))
    answer = inference.answer(served(inference, "default"), rows_of(asked(x=1.0), ONE))
    assert answer.y_NT.tolist() == [[3.0]]
