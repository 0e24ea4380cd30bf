"""Predictions by a real service: what is given comes back in its own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from service.client import (
    Client,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    UnseenCategoryError,
    VersionNotFoundError,
)
from tests.e2e.running import RunningService

pytestmark = pytest.mark.e2e

AREA, ROOMS = [30.0, 45.0, 60.0, 75.0, 90.0, 120.0], [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]
PRICE = [2000 * area + 7000 * rooms for area, rooms in zip(AREA, ROOMS, strict=True)]
TOWN = ["Bonn", "Kiel", "Bonn", "Kiel", "Bonn", "Kiel"]


@pytest.fixture(scope="module", autouse=True)
def _models(real: RunningService) -> None:
    """`flat`: two features. `pair`: two targets. `town`: a category."""
    rows = [list(row) for row in zip(AREA, ROOMS, strict=True)]
    named = {"feature_names": ["area", "rooms"], "target_names": ["price"]}
    with Client(real.url) as client:
        points = {"source": "points", "x": rows, "y": PRICE, **named}
        client.train(points, model="flat").wait(60)
        client.train(model="pair", x=AREA, y=[[2 * a, -a] for a in AREA]).wait(60)
        frame = pl.DataFrame({"area": AREA, "town": TOWN, "price": PRICE})
        client.train(frame, model="town", target="price", categories=["town"]).wait(60)


def test_a_number_gives_a_number(client: Client) -> None:
    told = client.predict(0.5, model="pair")
    assert told.y == pytest.approx([1.0, -0.5], abs=1e-3)
    told = client.predict(50, model="default")
    assert isinstance(told.y, float)
    assert (told.model, told.version, told.extrapolating) == ("default", 1, None)
    same = [client.predict(one(50)).y for one in (int, np.float32, np.int64, np.float64)]
    assert same == [told.y] * 4


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_numbers_give_a_list(client: Client, kind: Any) -> None:
    y = client.predict(kind([0.5, 0.6])).y
    assert y == [client.predict(0.5).y, client.predict(0.6).y]


def test_rows_give_a_list(client: Client) -> None:
    assert client.predict([[100, 3], [50, 1]], model="flat").y == pytest.approx([221000, 107000])
    assert client.predict([[1.0], [2.0]], model="pair").y[1] == pytest.approx([4, -2], abs=1e-3)


def test_a_row_by_name_gives_a_number_and_several_give_a_list(client: Client) -> None:
    row = {"rooms": 3, "area": 100}
    one = client.predict(row, model="flat").y
    assert one == pytest.approx(221000)
    assert client.predict([row, row], model="flat").y == [one, one]


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "uint8", ">f8"])
def test_an_array_gives_an_array_of_float64(client: Client, dtype: str) -> None:
    x_N = np.array([1, 2, 3], dtype)
    y_N = client.predict(x_N).y
    assert (type(y_N), y_N.dtype, y_N.shape) == (np.ndarray, np.float64, (3,))
    assert y_N.tolist() == client.predict([1, 2, 3]).y


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_float32_goes_as_bytes_and_gives_the_same_rounded_to_float32(
    client: Client, dtype: str
) -> None:
    x_NF = np.random.default_rng(0).uniform(1, 100, (1000, 2)).astype(dtype)
    told = client.predict(x_NF, model="flat")
    assert (told.y.dtype, told.y.shape, told.version) == (np.float32, (1000,), 1)
    by_json = client.predict(x_NF.astype("float64"), model="flat").y
    assert np.array_equal(told.y, by_json.astype("float32"))
    # Not contiguous in memory.
    assert np.array_equal(client.predict(x_NF[::2, ::-1], model="flat", version=1).y.shape, (500,))
    assert np.array_equal(client.predict(x_NF[::2], model="flat").y, told.y[::2])


def test_what_float32_gives_does_not_depend_on_the_way_it_goes(client: Client) -> None:
    x_N = np.array([0.1, 70.0], "float32")
    plain, explained = client.predict(x_N), client.predict(x_N, explain=True)
    assert plain.y.dtype == explained.y.dtype == np.float32
    assert np.array_equal(plain.y, explained.y)
    assert explained.extrapolating == [False, True]


def test_arrays_of_one_column_and_of_several_targets_keep_their_shape(client: Client) -> None:
    for dtype in ("float32", "float64"):
        x_NF = np.ones((4, 1), dtype)
        assert client.predict(x_NF).y.shape == (4,)
        assert client.predict(x_NF, model="pair").y.shape == (4, 2)
        assert client.predict(x_NF[:, 0], model="pair").y.shape == (4, 2)


def test_a_result_can_be_written_to(client: Client) -> None:
    for dtype in ("float32", "float64"):
        y_N = client.predict(np.ones(3, dtype)).y
        y_N += 1


def test_a_file_of_rows_gives_a_list(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("area,rooms\n100,3\n50,1\n")
    told = client.predict(file, model="flat", explain=True)
    assert told.y == pytest.approx([221000, 107000])
    assert told.extrapolating == [False, False]
    file.write_text("area,rooms\n100,three\n")
    with pytest.raises(InvalidRequestError, match="line 2"):
        client.predict(file, model="flat")


def test_a_frame_of_polars_gives_a_series(client: Client) -> None:
    frame = pl.DataFrame({"rooms": [3, 1], "area": [100.0, 50.0]})
    y = client.predict(frame, model="flat").y
    assert isinstance(y, pl.Series)
    assert y.name == "y"
    assert y.to_list() == pytest.approx([221000, 107000])
    assert isinstance(client.predict(frame["rooms"]).y, pl.Series)
    two = client.predict(pl.DataFrame({"x": [1.0, 2.0]}), model="pair").y
    assert two.columns == ["y1", "y2"]
    assert two["y2"].to_list() == pytest.approx([-1, -2], abs=1e-3)


def test_a_frame_with_text_is_predicted_by_its_categories(client: Client) -> None:
    frame = pl.DataFrame({"area": [30.0], "town": ["Bonn"]})
    assert client.predict(frame, model="town").y.len() == 1
    with pytest.raises(UnseenCategoryError) as caught:
        client.predict(frame.with_columns(town=pl.lit("Rome")), model="town")
    assert caught.value.errors[0].pointer == "/rows/0/town"


def test_a_frame_of_pandas_gives_a_series_with_its_index(client: Client) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"rooms": [3, 1], "area": [100.0, 50.0]}, index=["a", "b"])
    y = client.predict(frame, model="flat").y
    assert isinstance(y, pd.Series)
    assert y.to_dict() == pytest.approx({"a": 221000, "b": 107000})
    assert client.predict(frame["rooms"]).y.index.tolist() == ["a", "b"]
    two = client.predict(frame[["rooms"]].rename(columns={"rooms": "x"}), model="pair").y
    assert (two.columns.tolist(), two.index.tolist()) == (["y1", "y2"], ["a", "b"])


@pytest.mark.parametrize(
    ("x", "pointer"),
    [
        ([1.0, float("nan")], "/x/1"),
        (float("inf"), "/x"),
        (np.array([[1.0], [-np.inf]]), "/x/1/0"),
        ({"x": float("nan")}, "/rows/0/x"),
        (pl.DataFrame({"x": [1.0, float("nan")]}), "/rows/1/x"),
    ],
)
def test_what_is_not_finite_is_named_by_its_place(client: Client, x: Any, pointer: str) -> None:
    with pytest.raises(ValueError, match=f"^{pointer}: expected a finite number"):
        client.predict(x)


@pytest.mark.parametrize("x", ["0.5", b"0.5", None, True, object()])
def test_what_nobody_can_predict_from_is_refused(client: Client, x: Any) -> None:
    with pytest.raises(TypeError, match="cannot predict from"):
        client.predict(x)


def test_an_array_of_three_dimensions_is_refused(client: Client) -> None:
    for dtype in ("float32", "float64"):
        with pytest.raises(TypeError, match="one or two dimensions, got 3"):
            client.predict(np.ones((1, 1, 1), dtype))


@pytest.mark.parametrize(
    "x", [[[1, 2]], np.ones((1, 2)), np.ones((1, 2), "float32"), {"z": 1}, [], np.ones((0, 1))]
)
def test_what_the_service_refuses_is_the_same_error_by_every_way(client: Client, x: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.predict(x)
    assert caught.value.code == "invalid_request"
    assert caught.value.errors
    assert caught.value.request_id


def test_models_and_versions_that_are_not_there(client: Client) -> None:
    for x in (1.0, np.ones(1, "float32")):
        with pytest.raises(ModelNotFoundError):
            client.predict(x, model="nobody")
        with pytest.raises(VersionNotFoundError):
            client.predict(x, version=99)
    # A name leads to no other address.
    with pytest.raises(NotFoundError, match="nothing at this address"):
        client.predict(1.0, model="nobody/../default")


def test_large_arrays_go_through(client: Client) -> None:
    x_N = np.linspace(0, 1, 200_000)
    assert client.predict(x_N).y.shape == (200_000,)
    assert client.predict(x_N.astype("float32")).y.shape == (200_000,)
