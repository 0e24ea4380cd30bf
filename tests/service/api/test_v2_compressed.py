"""POST /v2/…/infer with compressed bodies."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.service.api.driving import Client, check_problem, speaking_to
from tests.service.api.v2_requests import INFER, LENGTH, OCTETS, binary_input, json_input, refused
from tests.service.making import Place, line

FOLD: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", FOLD)
def test_a_compressed_body_is_read(steady_client: Client, coding: str) -> None:
    tensor, content = binary_input(np.ones((5000, 1), np.float32))
    header = json.dumps({"inputs": [tensor]}).encode()
    headers = {**OCTETS, LENGTH: str(len(header)), "Content-Encoding": coding}
    answer = steady_client.request(
        "POST", INFER, content=FOLD[coding](header + content), headers=headers
    )
    assert answer.json()["outputs"][0]["data"] == [3.0] * 5000
    # Answers are never compressed, whatever the client would take.
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", FOLD)
def test_a_bomb_does_not_go_off(place: Place, coding: str) -> None:
    place.publish(line())
    settings = place.settings.model_copy(update={"max_body_bytes": 10_000})
    with speaking_to(settings) as client:
        headers = {"Content-Encoding": coding}
        for size, code in ((10_001, 413), (5_000_000, 413), (10_000, 400)):
            folded = FOLD[coding](b" " * size)
            assert len(folded) < 10_000
            assert client.post(INFER, folded, headers=headers).status_code == code


@pytest.mark.parametrize("coding", FOLD)
def test_what_is_not_compressed_whole_is_refused(steady_client: Client, coding: str) -> None:
    folded = FOLD[coding](json.dumps({"inputs": [json_input([[1.0]])]}).encode())
    headers = {"Content-Encoding": coding.upper()}
    assert steady_client.post(INFER, folded, headers=headers).status_code == 200
    for body, words in (
        (folded[:-3], "ends early"),
        (folded + b"more", "goes on after its end"),
        (b"nonsense", f"the body is no {coding}"),
        (b"", "ends early"),
    ):
        assert words in refused(steady_client.post(INFER, body, headers=headers))


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "x"])
def test_other_codings_are_415(steady_client: Client, coding: str) -> None:
    answer = steady_client.post(INFER, {}, headers={"Content-Encoding": coding})
    assert "gzip or deflate" in check_problem(answer, 415, "unsupported_media_type")["error"]


def test_identity_is_no_coding(steady_client: Client) -> None:
    body = {"inputs": [json_input([[1.0]])]}
    answer = steady_client.post(INFER, body, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200
