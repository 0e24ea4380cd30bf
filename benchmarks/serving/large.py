"""100,000 values in one request, beside the floor: parse, a numpy forward, serialise."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson
import torch

from benchmarks.serving.connection import Connection
from benchmarks.serving.contestants import SERVERS, fresh_folder
from benchmarks.serving.priority import (
    CLIENT_CORE,
    CLIENT_PRIORITY,
    SERVER_CORE,
    give_priority,
    may_have_priority,
    pin,
    preferred,
)
from benchmarks.serving.running import Prediction, Server, free_port
from benchmarks.serving.start import refit
from ml.artifact import Bundle
from ml.predictor import Predictor
from ml.spec.model import LinearSpec
from service.serving.plain import read_rows, write_answer
from service.serving.pool import Served

VALUES = 100_000
TIMES = 10
"""Requests of each contestant in a round."""

FLOOR = "floor in one process: msgspec, numpy, orjson"
IN_PROCESS = "Refit in one process"
FLOOR_HTTP = "floor behind bare uvicorn"
OVER_HTTP = "Refit over HTTP"


def large(rounds: int) -> dict[str, float]:
    """Median milliseconds of each; prints the table."""
    generator = np.random.default_rng(0)
    body = orjson.dumps({"x": [round(x, 6) for x in generator.uniform(-10, 10, VALUES).tolist()]})
    real_time = may_have_priority()
    cores = os.sched_getaffinity(0)
    milliseconds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(fresh_folder()))
        servers = [stack.enter_context(refit(folder)), _floor(stack)]
        contestants = {
            FLOOR: _floor_function(),
            IN_PROCESS: _refit_function(),
            FLOOR_HTTP: _poster(servers[1], stack),
            OVER_HTTP: _poster(servers[0], stack),
        }
        _compare({name: answer(body) for name, answer in contestants.items()})
        pids = [pid for server in servers for pid in server.pids()]
        pin(pids, SERVER_CORE)
        pin([os.getpid()], CLIENT_CORE)
        for _ in range(rounds):
            with preferred(pids, real_time):
                if real_time:
                    give_priority([os.getpid()], CLIENT_PRIORITY)
                _round(contestants, body, milliseconds)
                if real_time:
                    give_priority([os.getpid()], 0)
            time.sleep(0.5)
        os.sched_setaffinity(0, cores)
    medians = {name: statistics.median(each) for name, each in milliseconds.items()}
    print(f"\n{VALUES:,} values in one request of {len(body) / 1e6:.1f} MB, {rounds} rounds\n")
    print("| | ms | times the floor |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.1f} | {median / medians[FLOOR]:.2f} |")
    print(f"\nOver HTTP: {medians[OVER_HTTP] / medians[FLOOR_HTTP]:.2f} times the floor.\n")
    return medians


Answers = Callable[[bytes], bytes | memoryview]


def _round(
    contestants: dict[str, Answers], body: bytes, milliseconds: dict[str, list[float]]
) -> None:
    for _ in range(TIMES):
        for name, answer in contestants.items():
            began = time.perf_counter()
            answer(body)
            milliseconds.setdefault(name, []).append((time.perf_counter() - began) * 1e3)


def _compare(answers: dict[str, bytes | memoryview]) -> None:
    """All of them predict the same, but for what Refit's trained line is off by."""
    wanted = np.array(orjson.loads(answers[FLOOR])["y"])
    for name, answer in answers.items():
        got = np.array(orjson.loads(answer)["y"])
        assert got.shape == wanted.shape, name
        assert np.abs(got - wanted).max() < 0.1, name


def _floor_function() -> Answers:
    sys.path.insert(0, str(SERVERS))
    import floor  # type: ignore[import-not-found]

    found: Answers = floor.answer
    return found


def _refit_function() -> Answers:
    """What lies between the body and the answer on Refit's road, without HTTP."""
    names = ("linear_layer.weight", "linear_layer.bias")
    state = dict(zip(names, (torch.tensor([[0.7]]), torch.tensor([0.3])), strict=True))
    bundle = Bundle(LinearSpec(), ("x",), ("y",), None, state)
    served = Served("default", 1, 1, "", Predictor(bundle, torch.device("cpu")))

    def answer(body: bytes) -> bytes:
        found = read_rows(body, 1)
        assert found is not None
        return write_answer(served, served.predictor.predict_array(found[0]))

    return answer


def _floor(stack: ExitStack) -> Server:
    port = free_port()
    fast = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "floor:app", "--port", str(port), *fast]
    server = Server(command, port, SERVERS, {})
    stack.callback(server.stop)
    server.wait(Prediction("/", b'{"x": [0.5]}', r'"y":\[([\d.]+)'))
    return server


def _poster(server: Server, stack: ExitStack) -> Answers:
    connection = Connection(server.port)
    stack.callback(connection.close)

    def answer(body: bytes) -> memoryview:
        head = (
            "POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return connection.ask(head.encode(), body)

    return answer
