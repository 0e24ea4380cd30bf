"""Large bodies that cannot be read at once keep a worker busy, and never make it seem stuck."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import running

COUNT = 8
"""More than a worker has threads for predictions."""

ROW = "[" + ",".join(["1"] * 40) + "]"
ROWS = 190_000
BODIES = {
    "/predict": '{"x":[' + ",".join([ROW] * (ROWS - 1)) + "," + ROW.replace("1", '"a"', 1) + "]}",
    "/v2/models/default/infer": '{"inputs":[{"name":"x","shape":[7000000,1],"datatype":"FP32",'
    '"data":[' + ",".join(["1"] * 6_999_999) + ',"a"]}]}',
    "/train": '{"data":{"source":"points","x":[' + ",".join([ROW] * (ROWS - 1)) + ',["a"]],'
    '"y":[1]}}',
}


@pytest.mark.parametrize("path", BODIES)
def test_large_bad_bodies_are_answered_and_no_worker_is_killed(path: str, tmp_path: Path) -> None:
    body = BODIES[path].encode()
    with running(tmp_path / "data", workers=1, predict_seconds=280) as service:
        before = service.processes()
        done, honest = threading.Event(), list[int]()

        def ask_meanwhile() -> None:
            with httpx.Client(base_url=service.url, timeout=60) as client:
                while not done.is_set():
                    honest.append(client.post("/predict", json={"x": 0.5}).status_code)

        def send(_: int) -> httpx.Response:
            headers = {"Content-Type": "application/json"}
            return httpx.post(f"{service.url}{path}", content=body, headers=headers, timeout=290)

        asking = threading.Thread(target=ask_meanwhile)
        asking.start()
        try:
            with ThreadPoolExecutor(COUNT) as pool:
                answers = list(pool.map(send, range(COUNT)))
        finally:
            done.set()
            asking.join()
        assert {answer.status_code for answer in answers} <= {400, 422}
        assert all(
            len(answer.json()["errors"]) == 1 for answer in answers if answer.status_code == 422
        )
        assert set(honest) == {200}
        assert "is stuck" not in service.log
        assert set(before) <= set(service.processes())
