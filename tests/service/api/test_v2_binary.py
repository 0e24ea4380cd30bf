"""POST /v2/…/infer with tensors as bytes, and with compressed bodies."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.ml.making import scaling
from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.api.test_v2 import PAINTED
from tests.service.api.v2_requests import (
    INFER,
    LENGTH,
    OCTETS,
    binary_input,
    json_input,
    post_binary,
    read_binary,
    refused,
)
from tests.service.making import Place, line, mlp, predicted

TWO = "/v2/models/two/infer"
ONE = np.array([[1.0], [2.0]], np.float32)


def raw(client: Client, body: bytes, length: object, path: str = INFER) -> httpx.Response:
    headers = {**OCTETS, LENGTH: str(length)}
    return client.request("POST", path, content=body, headers=headers)


def test_bytes_in_and_out(steady_client: Client) -> None:
    x = np.array([[0.5, 1.0], [3.0, -2.0], [1e-3, 7.5]], np.float32)
    asked: dict[str, Any] = {"id": "7", "parameters": {"binary_data_output": True}}
    answer = post_binary(steady_client, binary_input(x), path=TWO, **asked)
    header, y = read_binary(answer)
    assert header["id"] == "7"
    assert header["model_name"] == "two"
    assert header["model_version"] == "1"
    assert answer.headers["refit-version"] == "1"
    told = steady_client.post("/models/two/predict", {"x": x.tolist()}).json()["y"]
    np.testing.assert_array_equal(y[:, 0], np.array(told, np.float32))


@pytest.mark.parametrize("standardized", [False, True])
def test_several_targets_have_the_same_bits_in_any_company(
    place: Place, standardized: bool
) -> None:
    """On the event loop and beside it; a row, a few, blocks; JSON and bytes."""
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(4, 10)).tolist()
    statistics = scaling(10, 4) if standardized else None
    place.publish(line(weights, [0.1, -0.2, 0.3, 0.0], scaling=statistics))
    x = generator.normal(0, 10, (20_000, 10)).astype(np.float32)
    with speaking_to(place.settings) as client:
        _, y = read_binary(post_binary(client, binary_input(x)))
        for start, rows in ((0, 1), (7, 3), (100, 20), (5_000, 2_500)):
            part = x[start : start + rows]
            _, found = read_binary(post_binary(client, binary_input(part)))
            assert found.tobytes() == y[start : start + rows].tobytes()
            told = client.post("/predict", {"x": part.tolist()}).json()["y"]
            assert np.array(told, np.float32).tobytes() == found.tobytes()


@pytest.mark.parametrize("rows", [1, 4_000, 150_000])
@pytest.mark.parametrize("standardized", [False, True])
def test_small_and_large_say_what_predict_says(place: Place, rows: int, standardized: bool) -> None:
    """Below and above what is answered on the event loop, and in whole blocks and parts of one."""
    place.publish(line(0.7, 0.3, scaling=scaling(1, 1) if standardized else None))
    x = np.random.default_rng(rows).normal(0, 10, (rows, 1)).astype(np.float32)
    with speaking_to(place.settings) as client:
        _, y = read_binary(post_binary(client, binary_input(x)))
        told = client.post("/predict", {"x": x[:, 0].tolist()}).json()["y"]
    assert y.shape == (rows, 1)
    np.testing.assert_array_equal(y[:, 0], np.array(told, np.float64).astype(np.float32))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_every_number_type(steady_client: Client, kind: str) -> None:
    x = np.array([[1, 2], [100, 3]], kind)
    _, y = read_binary(post_binary(steady_client, binary_input(x), path=TWO))
    assert y.tolist() == [[9.0], [210.0]]


def test_several_models_of_shape(place: Place) -> None:
    bundle = line([[1.0, 2.0], [3.0, 4.0], [0.5, 0.25]], [0.0, 1.0, 2.0])
    place.publish(bundle)
    x = np.array([[1, 1], [2, 4]], np.float32)
    with speaking_to(place.settings) as client:
        header, y = read_binary(post_binary(client, binary_input(x)))
    assert header["outputs"][0]["shape"] == [2, 3]
    # Row-major: the targets of a row stand side by side.
    assert y.tolist() == [[3.0, 8.0, 2.75], [10.0, 23.0, 4.0]]


JSON_OUT: list[dict[str, Any]] = [
    {"parameters": {}},
    {"parameters": {"binary_data_output": False}},
    {"outputs": [{"name": "y"}]},
    {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
    },
]
BINARY_OUT: list[dict[str, Any]] = [
    {"parameters": {"binary_data_output": True}},
    {"parameters": {"binary_data_output": True}, "outputs": [{"name": "y"}]},
    {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    {
        "parameters": {"binary_data_output": False},
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    },
]


@pytest.mark.parametrize("asked", JSON_OUT)
def test_outputs_are_json_unless_bytes_are_asked_for(
    steady_client: Client, asked: dict[str, Any]
) -> None:
    for answer in (
        post_binary(steady_client, binary_input(ONE), **asked),
        steady_client.post(INFER, {"inputs": [json_input(ONE.tolist())], **asked}),
    ):
        assert LENGTH.lower() not in answer.headers
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["outputs"][0]["data"] == [3.0, 5.0]


@pytest.mark.parametrize("asked", BINARY_OUT)
def test_an_output_overrides_the_request(steady_client: Client, asked: dict[str, Any]) -> None:
    for answer in (
        post_binary(steady_client, binary_input(ONE), **asked),
        steady_client.post(INFER, {"inputs": [json_input(ONE.tolist())], **asked}),
    ):
        assert read_binary(answer)[1].tolist() == [[3.0], [5.0]]


# ---- the header of the length ----


def test_a_length_of_zero_is_one_raw_input(steady_client: Client) -> None:
    header, y = read_binary(raw(steady_client, ONE.tobytes(), 0))
    assert y.tolist() == [[3.0], [5.0]]
    assert "id" not in header
    x = np.array([[1, 2], [3, 4], [5, 6]], "<f4")
    assert read_binary(raw(steady_client, x.tobytes(), 0, TWO))[1].shape == (3, 1)


@pytest.mark.parametrize("body", [b"", b"123", b"12345"])
def test_a_raw_input_has_whole_rows(steady_client: Client, body: bytes) -> None:
    assert "expected rows of 4 bytes (1 × FP32)" in refused(raw(steady_client, body, 0))


def test_a_raw_input_is_for_models_with_one(place: Place) -> None:
    place.publish(PAINTED)
    with speaking_to(place.settings) as client:
        assert "one input x" in refused(raw(client, b"12345678", 0))


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "", "0x1", "²", "1" * 19, "9" * 18])
def test_the_length_lies_in_the_body(steady_client: Client, length: str) -> None:
    headers = {**OCTETS, LENGTH: length.encode()}
    answer = steady_client.request("POST", INFER, content=b"{}", headers=headers)
    assert LENGTH in refused(answer)


def test_the_whole_body_may_be_json(steady_client: Client) -> None:
    body = json.dumps({"inputs": [json_input([[1.0]])]}).encode()
    assert raw(steady_client, body, len(body)).json()["outputs"][0]["data"] == [3.0]
    answer = steady_client.request("POST", INFER, content=body, headers=OCTETS)
    assert answer.json()["outputs"][0]["data"] == [3.0]
    assert LENGTH in refused(raw(steady_client, body, len(body) + 1))


# ---- sizes ----


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [3, 1]}, "shape [3, 1] of FP32 takes 12 bytes, binary_data_size is 8"),
        ({"shape": [2**40, 2**40]}, "takes 4835703278458516698824704 bytes"),
        ({"datatype": "FP64"}, "takes 16 bytes"),
        ({"parameters": {"binary_data_size": 12}}, "binary_data_size is 12, but 8 bytes are left"),
        ({"parameters": {"binary_data_size": 2**62}}, "but 8 bytes are left"),
        ({"parameters": {"binary_data_size": 4}, "shape": [1, 1]}, "4 bytes follow the JSON"),
        ({"parameters": {"binary_data_size": 0}, "shape": [0, 1]}, "8 bytes follow the JSON"),
        ({"parameters": {"binary_data_size": True}}, "whole number"),
        ({"parameters": {}, "data": [1, 2]}, "8 bytes follow the JSON that belong to no input"),
        ({"data": [1, 2]}, "expected either data or the parameter binary_data_size"),
    ],
)
def test_the_size_fits_shape_and_body(
    steady_client: Client, change: dict[str, Any], words: str
) -> None:
    tensor, content = binary_input(ONE)
    assert words in refused(post_binary(steady_client, ({**tensor, **change}, content)))


def test_bytes_that_a_json_body_tells_of_and_lacks(steady_client: Client) -> None:
    tensor, _ = binary_input(ONE)
    assert "0 bytes are left" in refused(steady_client.post(INFER, {"inputs": [tensor]}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_what_is_not_finite_is_refused_with_its_place(
    steady_client: Client, value: float, kind: str
) -> None:
    x = np.ones((1000, 2), kind)
    x[700, 1] = x[800, 0] = value
    error = refused(post_binary(steady_client, binary_input(x), path=TWO))
    assert error == "input x: row 700, feature 1: expected a finite number within float32"
    error = refused(post_binary(steady_client, binary_input(x[:, 1:])))
    assert error == "input x: row 700: expected a finite number within float32"


def test_a_number_beyond_float32_is_refused_with_its_place(steady_client: Client) -> None:
    x = np.array([[1.0], [-3.5e38]])
    error = refused(post_binary(steady_client, binary_input(x)))
    assert error == "input x: row 1: expected a finite number within float32"
    greatest = np.array([[np.finfo(np.float32).max / 8]], np.float64)
    assert read_binary(post_binary(steady_client, binary_input(greatest)))[1].shape == (1, 1)


def test_a_relu_does_not_hide_what_is_not_finite(place: Place) -> None:
    place.publish(mlp())
    with speaking_to(place.settings) as client:
        answer = post_binary(client, binary_input(np.array([[-np.inf]], np.float32)))
        assert "row 0" in refused(answer)


# ---- features one by one ----


def test_texts_numbers_and_booleans_side_by_side(place: Place) -> None:
    place.publish(PAINTED)
    inputs = [
        binary_input(np.array([["red"], ["blue"]]), "colour"),
        # Behind text of seven letters nothing is aligned.
        binary_input(np.array([[1.0], [2.0]]), "size"),
        binary_input(np.array([[True], [False]]), "new"),
    ]
    with speaking_to(place.settings) as client:
        _, y = read_binary(post_binary(client, *inputs))
        tensor, content = inputs[0]
        for broken, words in (
            (content[:-1] + b"\xff", "element 1 is no UTF-8"),
            (b"\xff\xff\xff\xff" + content[4:], "do not hold the 2 elements of shape [2, 1]"),
            (content[:3], "do not hold the 2 elements"),
            (content + b"\x00\x00\x00\x00", "do not hold the 2 elements"),
        ):
            parameters = {"parameters": {"binary_data_size": len(broken)}}
            answer = post_binary(client, ({**tensor, **parameters}, broken), *inputs[1:])
            assert words in refused(answer)
        bad_bool = {**inputs[2][0], "name": "new"}, b"\x02\x00"
        assert "a byte of 0 or 1" in refused(post_binary(client, *inputs[:2], bad_bool))
        answer = post_binary(
            client, *inputs[1:], binary_input(np.array([["red"], ["x"]]), "colour")
        )
        assert (
            "row 1: feature colour holds"
            in (check_problem(answer, 400, "unseen_category")["error"])
        )
    np.testing.assert_allclose(y[:, 0], [26.3, 12.3], rtol=1e-6)


def test_json_and_bytes_may_stand_side_by_side(place: Place) -> None:
    place.publish(PAINTED)
    inputs = [
        binary_input(np.array([1.0, 2.0]), "size"),
        (json_input(["red", "blue"], "BYTES", "colour"), b""),
        binary_input(np.array([0.0, 1.0]), "new"),
    ]
    with speaking_to(place.settings) as client:
        _, y = read_binary(post_binary(client, *inputs))
    np.testing.assert_allclose(y[:, 0], [21.3, 17.3], rtol=1e-6)


# ---- whatever is sent ----


@given(
    st.binary(max_size=64) | st.just(json.dumps({"inputs": [binary_input(ONE)[0]]}).encode()),
    st.integers(0, 300) | st.sampled_from(["", "-1", "١", "1e3"]),
    st.sampled_from(["", "gzip", "deflate"]),
    st.sampled_from([INFER, TWO]),
)
@hypothesis_settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_bytes_are_answered_by_the_contract(
    steady_client: Client, body: bytes, length: object, coding: str, path: str
) -> None:
    headers = {**OCTETS, LENGTH: str(length).encode(), "Content-Encoding": coding}
    answer = steady_client.request("POST", path, content=body, headers=headers)
    if answer.status_code == 200:
        assert length == 0
        assert read_binary(answer)[1].dtype == np.float32
    else:
        refused(answer)


def test_the_same_bytes_as_the_model_itself(steady_client: Client) -> None:
    x = np.linspace(-5, 5, 99, dtype=np.float32)
    _, y = read_binary(post_binary(steady_client, binary_input(x)))
    assert y[:, 0].tolist() == predicted(line(2.0, 1.0), x.tolist())
