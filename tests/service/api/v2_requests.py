"""Requests of the Open Inference Protocol v2, put together by hand as its documents say."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import numpy as np

from tests.service.api.driving import Client, check_problem

LENGTH = "Inference-Header-Content-Length"
OCTETS = {"Content-Type": "application/octet-stream"}
INFER = "/v2/models/default/infer"

NAMES = {
    "f2": "FP16",
    "f4": "FP32",
    "f8": "FP64",
    **{f"i{n}": f"INT{8 * n}" for n in (1, 2, 4, 8)},
    **{f"u{n}": f"UINT{8 * n}" for n in (1, 2, 4, 8)},
}


def json_input(values: Any, datatype: str = "FP32", name: str = "x") -> dict[str, Any]:
    """An input whose shape is that of ``values``."""
    shape = list(np.shape(values))
    return {"name": name, "shape": shape, "datatype": datatype, "data": values}


def binary_input(values: np.ndarray, name: str = "x") -> tuple[dict[str, Any], bytes]:
    """An input and its bytes; text as BYTES."""
    if values.dtype.kind in "UO":
        words = [str(word).encode() for word in values.ravel()]
        content = b"".join(struct.pack("<I", len(word)) + word for word in words)
        datatype = "BYTES"
    else:
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        datatype = "BOOL" if values.dtype == bool else NAMES[values.dtype.str[1:]]
    parameters = {"binary_data_size": len(content)}
    shape = list(values.shape)
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}, content


def post_binary(
    client: Client,
    *inputs: tuple[dict[str, Any], bytes],
    path: str = INFER,
    headers: dict[str, str] | None = None,
    **asked: Any,
) -> httpx.Response:
    """Send inputs as bytes; all outputs as bytes unless ``asked`` says something."""
    asked = asked or {"parameters": {"binary_data_output": True}}
    header = json.dumps({"inputs": [given for given, _ in inputs], **asked}).encode()
    body = header + b"".join(content for _, content in inputs)
    headers = {**OCTETS, LENGTH: str(len(header)), **(headers or {})}
    return client.request("POST", path, content=body, headers=headers)


def read_binary(answer: httpx.Response) -> tuple[dict[str, Any], np.ndarray]:
    """The JSON of an answer, and its one tensor."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH.lower()])
    assert int(answer.headers["content-length"]) == len(answer.content)
    header: dict[str, Any] = json.loads(answer.content[:length])
    (output,) = header["outputs"]
    content = answer.content[length:]
    assert output["parameters"] == {"binary_data_size": len(content)}
    assert "data" not in output
    assert (output["name"], output["datatype"]) == ("y", "FP32")
    return header, np.frombuffer(content, "<f4").reshape(output["shape"])


def refused(answer: httpx.Response) -> str:
    """The error of a request that cannot be meant."""
    error: str = check_problem(answer, 400, "invalid_request")["error"]
    return error
