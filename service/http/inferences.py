"""Inferences of the Open Inference Protocol v2 on the plain road.

Each is answered as soon as it is there: a tensor alone is worth a forward pass of its own.
"""

from __future__ import annotations

from time import perf_counter
from typing import Protocol

import numpy as np

from service.api.inferring import Inferred, infer, parse
from service.api.v2_body import InferBody, in_two_parts
from service.http.heads import PlainHead
from service.http.held import Held
from service.http.numbers import read_numbers
from service.http.tensors import FP32, Asked, Tensors, raw
from service.http.turn import Turn, told_of
from service.observability.metrics import Metrics
from service.serving.inference import Inference
from service.serving.light import is_light
from service.serving.pool import Pool, Served


class Connection(Protocol):
    """Who waits for an answer."""

    def inferred(self, answer: bytes, tensor: memoryview | None) -> None:
        """Send the answer, and the bytes behind it from where they lie."""
        ...


_JSON = b"""\
HTTP/1.1 200 OK\r
%brefit-version: %d\r
content-length: %d\r
content-type: application/json\r
x-request-id: %b\r
\r
%b"""
_TENSOR = b"""\
HTTP/1.1 200 OK\r
%brefit-version: %d\r
inference-header-content-length: %d\r
content-length: %d\r
content-type: application/octet-stream\r
x-request-id: %b\r
\r
%b"""


class Inferences:
    """Answers inferences that are light; shares ids and the date with ``turn``."""

    def __init__(
        self, turn: Turn, pool: Pool, inference: Inference, metrics: Metrics, max_rows: int
    ) -> None:
        self._turn = turn
        self._pool = pool
        self._inference = inference
        self._metrics = metrics
        self._max_rows = max_rows
        self._tensors = Tensors()

    def takes(self, head: PlainHead) -> bool:
        """Whether it is worth waiting for the body: else the ordinary road is to have it."""
        return self._served(head) is not None

    def _served(self, head: PlainHead) -> Served | None:
        served = self._pool.active(head.model)
        json_bytes = head.body_bytes if head.json_bytes is None else head.json_bytes
        if served is None or not is_light(served, json_bytes, head.body_bytes - json_bytes):
            return None
        return served

    def answer(self, connection: Connection, asked: Held) -> bool:
        """Answer a request that is there in full; False where it must take the ordinary road."""
        head = asked.head
        served = self._served(head)
        if served is None:
            return False
        began = perf_counter()
        first, *others = asked.pieces
        chunks: list[bytes | memoryview] = [memoryview(first)[asked.body_from :], *others]
        body = in_two_parts(chunks, head.json_bytes, head.body_bytes)
        try:
            answer = self._infer(served, body)
        except Exception:
            # The application finds the words for it, be it an error or a bug of somebody's module.
            return False
        # Before the answer, so that whoever has it finds it counted.
        seconds = perf_counter() - began
        self._metrics.predictions(served.model, served.version).add_one(answer.rows, seconds)
        self._metrics.route("POST", head.route).add_one(200, seconds)
        own_id = self._turn.ids.next()
        told = own_id if asked.caller is None else told_of(asked.caller, own_id)
        connection.inferred(self._written(served, answer, told), answer.tensor)
        return True

    def _infer(self, served: Served, body: InferBody) -> Inferred:
        read = self._read(served, body)
        answer = read and read[0].answer(served, read[1], self._max_rows)
        if answer is None:
            request = parse(body)
            answer = infer(self._inference, served, request, body.binary, self._max_rows)
            if read is None and body.json is not None and request is not None and body.binary:
                self._tensors.learn(body.json, request)
        return answer

    def _read(self, served: Served, body: InferBody) -> tuple[Asked, np.ndarray] | None:
        """What is asked, and the numbers, where that can be told without parsing all of it."""
        json, binary = body.json, body.binary
        if not binary:
            return None if json is None else read_numbers(json)
        if len(binary) % FP32.itemsize:
            return None
        if json is None:
            asked: Asked | None = raw(len(binary), served.predictor.features)
        else:
            asked = self._tensors.find(json)
        return None if asked is None else (asked, np.frombuffer(binary, FP32))

    def _written(self, served: Served, answer: Inferred, told: bytes) -> bytes:
        json, size = answer.json, len(answer.json)
        if answer.tensor is None:
            return _JSON % (self._turn.date, served.version, size, told, json)
        whole = size + len(answer.tensor)
        return _TENSOR % (self._turn.date, served.version, size, whole, told, json)
