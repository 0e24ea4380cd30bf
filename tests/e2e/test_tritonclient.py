"""NVIDIA's client for Triton speaks to Refit unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.e2e.running import RunningService

pytestmark = pytest.mark.e2e

X = np.array([[0.5], [0.6], [-3.25]], np.float32)


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Any]:
    service.train("default", data={"source": "line", "weight": -2, "bias": 1}, promote="always")
    rows = [[float(a), float(b)] for a in range(6) for b in range(5)]
    y = [[2 * a + 3 * b, a - b] for a, b in rows]
    service.train("two", data={"source": "points", "x": rows, "y": y})
    wait_for_workers(service, "default", 2)
    wait_for_workers(service, "two", 1)
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as opened:
        yield opened


def wait_for_workers(service: RunningService, model: str, version: int) -> None:
    """Wait until every worker serves the version, which is the active one already."""
    path = f"/models/{model}/versions/{version}/activate"
    moved = service.client.post(path, headers={"Prefer": "wait=30"}).json()
    assert moved["acknowledged"] == moved["workers"] == 2


def input_of(values: np.ndarray, datatype: str, name: str = "x", binary: bool = True) -> Any:
    given = triton.InferInput(name, list(values.shape), datatype)
    return given.set_data_from_numpy(values, binary_data=binary)


def predicted(service: RunningService, path: str, x: np.ndarray) -> np.ndarray:
    """What `/predict` says, as [N, T] in float32."""
    answer = service.client.post(f"/models/{path}/predict", json={"x": x.tolist()})
    y = np.array(answer.json()["y"], np.float64).astype(np.float32)
    return y.reshape(len(x), -1)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert server["name"] == "refit"
    assert "binary_tensor_data" in server["extensions"]
    assert client.is_model_ready("default")
    assert client.is_model_ready("default", "1")
    assert not client.is_model_ready("default", "99")
    assert not client.is_model_ready("nobody")
    told = client.get_model_metadata("two")
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert told["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]
    assert client.get_model_metadata("default", "2")["versions"] == ["1", "2"]
    assert client.get_model_config("two")["max_batch_size"] == 0


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("version", ["", "1", "2"])
def test_infer(
    client: Any, service: RunningService, binary_in: bool, binary_out: bool | None, version: str
) -> None:
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("y", binary_data=binary_out)]
    result = client.infer(
        "default",
        [input_of(X, "FP32", binary=binary_in)],
        model_version=version,
        outputs=outputs,
        request_id="ours",
        parameters={"own": "parameter"},
        priority=1,
    )
    answer = result.get_response()
    assert answer["id"] == "ours"
    assert answer["model_name"] == "default"
    assert answer["model_version"] == (version or "2")
    assert ("data" in answer["outputs"][0]) == (binary_out is False)
    y = result.as_numpy("y")
    assert y.dtype == np.float32
    wanted = predicted(service, f"default/versions/{version or 2}", X)
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16", "INT32"])
def test_several_features_and_targets(client: Any, service: RunningService, datatype: str) -> None:
    kinds = {"FP32": np.float32, "FP64": np.float64, "FP16": np.float16, "INT32": np.int32}
    x = np.array([[1, 2], [3, 4], [5, 0]], kinds[datatype])
    y = client.infer("two", [input_of(x, datatype)]).as_numpy("y")
    np.testing.assert_array_equal(y, predicted(service, "two", x))
    np.testing.assert_allclose(y, [[8, -1], [18, -1], [10, 5]], atol=1e-3)


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
def test_compression(client: Any, request_coding: str | None, response_coding: str | None) -> None:
    result = client.infer(
        "default",
        [input_of(np.tile(X, (3000, 1)), "FP32")],
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    assert result.as_numpy("y").shape == (9000, 1)


def test_many_at_once(service: RunningService) -> None:
    address = service.url.removeprefix("http://")
    with triton.InferenceServerClient(address, concurrency=8) as client:
        chunks = [np.full((count, 1), count, np.float32) for count in range(1, 41)]
        asked = [client.async_infer("default", [input_of(x, "FP32")]) for x in chunks]
        for x, pending in zip(chunks, asked, strict=True):
            y = pending.get_result(timeout=30).as_numpy("y")
            np.testing.assert_array_equal(y, predicted(service, "default", x))


def test_the_client_for_asyncio(service: RunningService) -> None:
    async def ask() -> np.ndarray:
        address = service.url.removeprefix("http://")
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready("default")
            given = triton_aio.InferInput("x", list(X.shape), "FP32").set_data_from_numpy(X)
            result = await client.infer("default", [given])
        y: np.ndarray = result.as_numpy("y")
        return y

    np.testing.assert_array_equal(asyncio.run(ask()), predicted(service, "default", X))


def test_a_large_tensor(client: Any, service: RunningService) -> None:
    x = np.random.default_rng(0).normal(size=(200_000, 1)).astype(np.float32)
    y = client.infer("default", [input_of(x, "FP32")]).as_numpy("y")
    assert y.shape == x.shape
    np.testing.assert_array_equal(y[-50:], predicted(service, "default", x[-50:]))


def test_text_as_bytes(client: Any, service: RunningService) -> None:
    lines = [
        f"{size},{colour},{size + (100 if colour == 'red' else 0)}"
        for size in range(30)
        for colour in ("red", "blue")
    ]
    body = "\n".join(["size,colour,price", *lines])
    headers = {"Content-Type": "text/csv"}
    dataset = service.client.post("/datasets", content=body, headers=headers).json()["id"]
    data = {"source": "dataset", "dataset": dataset, "target": "price", "categories": ["colour"]}
    service.train("painted", data=data)
    wait_for_workers(service, "painted", 1)
    told = client.get_model_metadata("painted")
    assert [given["datatype"] for given in told["inputs"]] == ["FP64", "BYTES"]
    for binary in (True, False):
        inputs = [
            input_of(np.array([[3.0], [7.0]]), "FP64", "size", binary),
            input_of(np.array([["red"], ["blue"]], np.object_), "BYTES", "colour", binary),
        ]
        y = client.infer("painted", inputs).as_numpy("y")
        np.testing.assert_allclose(y, [[103], [7]], atol=0.1)


def test_errors_are_told_in_words(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="there is no model nobody") as caught:
        client.infer("nobody", [input_of(X, "FP32")])
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match=r"expected shape \[-1, 1\], got \[1, 3\]"):
        client.infer("default", [input_of(X.T, "FP32")])
    with pytest.raises(InferenceServerException, match="row 1: expected a finite number"):
        client.infer("default", [input_of(np.array([[1], [np.nan]], np.float32), "FP32")])
    with pytest.raises(InferenceServerException, match="there is no model nobody"):
        client.get_model_metadata("nobody")
    with pytest.raises(InferenceServerException, match="version"):
        client.get_model_metadata("default", "latest")
    outputs = [triton.InferRequestedOutput("y", class_count=2)]
    with pytest.raises(InferenceServerException, match="regression has no classes"):
        client.infer("default", [input_of(X, "FP32")], outputs=outputs)
    with pytest.raises(InferenceServerException, match=r"POST /models/default/versions"):
        client.load_model("default")
    with pytest.raises(InferenceServerException, match="stays loaded"):
        client.unload_model("default")


def test_repository_and_statistics(client: Any) -> None:
    index = client.get_model_repository_index()
    states = {(entry["name"], entry["version"]): entry["state"] for entry in index}
    assert states["default", "1"] == "UNAVAILABLE"
    assert states["default", "2"] == states["two", "1"] == "READY"

    def rows() -> int:
        (told,) = client.get_inference_statistics("default", "2")["model_stats"]
        count: int = told["inference_count"]
        return count

    # One connection is one worker, which counts for itself.
    before = rows()
    client.infer("default", [input_of(X, "FP32")])
    assert rows() == before + 3
    assert {told["name"] for told in client.get_inference_statistics()["model_stats"]} >= {
        *("default", "two")
    }
