"""The service is stopped and started again while a client follows a job and waits for it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, JobEvent, Retries, StateEvent
from service.processes.parent import listen
from tests.e2e.running import running
from tests.waiting import until

EPOCHS = 60_000
"""Some seconds of the tutorial's loop, more on a busy machine: long enough to be interrupted."""


@pytest.mark.e2e
def test_events_and_waiting_go_on_through_a_restart(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    settings: dict[str, Any] = {"port": port, "bootstrap": False, "checkpoint_seconds": 0.2}
    retries = Retries(reconnect_seconds=300)
    seen: list[JobEvent] = []
    ended: list[str] = []
    with Client(f"http://127.0.0.1:{port}", retries=retries) as client:
        with running(tmp_path / "data", **settings) as first:
            job = client.train(epochs=EPOCHS, evaluate_every=100, batch_size=10)
            follower = threading.Thread(target=lambda: seen.extend(job.events()))
            waiter = threading.Thread(target=lambda: ended.append(client.job(job.id).wait().state))
            follower.start()
            waiter.start()
            until(lambda: job.refresh().latest.progress.epoch > 500, "the training to run", 60)
            assert first.stop() == 0
        assert not ended
        with running(tmp_path / "data", **settings):
            waiter.join(200)
            follower.join(60)
            history = list(job.events())
            curve = job.curve()
    assert ended == ["succeeded"]
    assert seen == history
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert [event.state for event in seen if isinstance(event, StateEvent)][:4] == [
        "queued",
        "running",
        "queued",
        "running",
    ]
    assert len(curve) == EPOCHS // 100 + 1
