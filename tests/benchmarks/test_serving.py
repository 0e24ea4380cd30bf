"""The instruments of the serving benchmark read what they should."""

from __future__ import annotations

import socket
import threading

import pytest

from benchmarks.serving.running import Prediction
from benchmarks.serving.steady import run_steady
from benchmarks.serving.wrk import Figures, read_figures

CLEAN = """Running 1s test @ http://127.0.0.1:8000/predict
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   806.86us  112.30us   1.15ms   70.00%
    Req/Sec    79.31k     1.02k   80.10k    50.00%
  Latency Distribution
     50%  803.00us
     75%    1.10ms
     90%    1.12s
     99%    1.13s
  79314 requests in 1.00s, 13.10MB read
Requests/sec:  79314.25
Transfer/sec:     13.10MB
"""
FAILING = CLEAN.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 2, write 0, timeout 4\n"
    "  Non-2xx or 3xx responses: 12\nRequests/sec",
)


def test_the_figures_of_wrk() -> None:
    assert read_figures(CLEAN) == Figures(79314.25, 803.0, 1.13e6, 0)


def test_what_failed_is_counted() -> None:
    assert read_figures(FAILING).failed == 1 + 2 + 4 + 12


def test_what_is_no_output_of_wrk_is_refused() -> None:
    with pytest.raises(ValueError, match="no figures of wrk"):
        read_figures("unable to connect to 127.0.0.1:8000 Connection refused\n")


@pytest.mark.parametrize(
    ("status", "answer", "holds"),
    [
        (200, b'{"y":[0.6509],"model":"default","version":1}', True),
        (200, b'{"y": 0.65}', True),
        (200, b'{"y": 0.75}', False),
        (200, b"{}", False),
        (500, b'{"y": 0.65}', False),
    ],
)
def test_a_wrong_answer_is_told(status: int, answer: bytes, holds: bool) -> None:
    prediction = Prediction("/predict", b'{"x": 0.5}', r'"y": ?\[?([\d.]+)')
    assert prediction.holds(status, answer) is holds


def test_the_steady_client_counts_answers_and_failures() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Every fifth answer is no 200; the client then comes back on a new connection.
        threading.Thread(target=_answer, args=(listener, 5), daemon=True).start()
        outcome = run_steady(listener.getsockname()[1], "/", b"{}", 200, 0.1, 1)
    assert len(outcome.sent) == len(outcome.took) == 20
    assert outcome.failed == 4
    assert all(took is None or took > 0 for took in outcome.took)


def _answer(listener: socket.socket, fails_each: int) -> None:
    count = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while connection.recv(65536):
                count += 1
                status = b"503 Busy" if count % fails_each == 0 else b"200 OK"
                connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % status)
