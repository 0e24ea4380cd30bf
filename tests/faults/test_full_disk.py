"""A disk that is full or cannot be written: named, nothing lost, and well again by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ml.errors import MLError
from service.artifacts.local import LocalArtifacts
from service.errors import ServiceError
from service.store.database import BUSY_SECONDS
from tests.e2e.running import RunningService, running
from tests.faults.counting import Count
from tests.faults.laying import (
    NEW,
    complaints_about,
    lay_copy,
    lay_empty,
    publish_and_register,
    settings_of,
)
from tests.faults.places import fill, needs_mounts, read_only, small_disk
from tests.waiting import until

pytestmark = [pytest.mark.faults, needs_mounts]


def test_a_publication_on_a_full_disk_is_refused_or_done(
    base: Path, tmp_path: Path, count: Callable[..., Count]
) -> None:
    full = count("a disk full at the publication, with 0, 4, 8, ... 400 kB left")
    with small_disk(tmp_path / "disk", 4000) as disk:
        for kilobytes in range(0, 401, 4):
            data = lay_copy(base, disk / "data")
            filler = fill(disk, kilobytes)
            acknowledged = [1]
            with suppress(OSError, ServiceError, MLError):
                publish_and_register(data, NEW, say=acknowledged.append)
            # SQLite cannot open a file in WAL mode where there is no room for its index.
            filler.unlink()
            full.add(f"{kilobytes} kB", complaints_about(data, acknowledged))
    full.require_none(at_least=100)


def test_a_service_on_a_full_disk_names_it_keeps_answering_and_recovers(
    base: Path, tmp_path: Path, count: Callable[..., Count]
) -> None:
    full = count("the disk of a real service full, and free again")
    with small_disk(tmp_path / "disk", 20_000) as disk:
        # By a link, so that its log lies on another disk.
        data = tmp_path / "data"
        data.symlink_to(lay_copy(base, disk / "data"))
        with running(data, workers=1) as service:
            for kilobytes in (0, 8, 40, 200):
                filler = fill(disk, kilobytes)
                answer = service.client.post("/train", json={"promote": "never"})
                said = []
                job_id = answer.json().get("id")
                if answer.status_code not in (202, 503):
                    said.append(f"a training is answered {answer.text}")
                elif job_id and kilobytes == 0:
                    said.append("a job was taken on and there was no room for it")
                for _ in range(20):
                    predicted = service.client.post("/predict", json={"x": 1.0})
                    if predicted.status_code != 200:
                        said.append(f"a prediction is answered {predicted.text}")
                filler.unlink()
                if job_id:
                    job = service.wait_for_job(job_id, lambda job: job["state"] in ENDED, 60)
                    if job["state"] != "succeeded" and job["error"]["code"] != "storage_full":
                        said.append(f"the job ended with {job['error']}")
                again = until(lambda: _trained(service), "a training after there is room", 60)
                if again["state"] != "succeeded":
                    said.append(f"the next job ended with {again['error']}")
                full.add(f"{kilobytes} kB", said)
    full.require_none()


def test_a_training_without_room_for_its_artifact_says_so(
    tmp_path: Path, count: Callable[..., Count]
) -> None:
    full = count("no room for the artifact of a training")
    data = lay_empty(tmp_path / "data")
    with (
        small_disk(data / "artifacts", 400) as disk,
        running(data, workers=1, bootstrap=False) as service,
    ):
        for kilobytes in (0, 4):
            filler = fill(disk, kilobytes)
            # Another seed each time: what is there already needs no room.
            job = service.train(seed=kilobytes)
            wanted = ("failed", "storage_full", 1)
            got = (job["state"], (job["error"] or {}).get("code"), job["attempt"])
            said = [] if got == wanted else [f"ended as {got}: {job['error']}"]
            filler.unlink()
            job = service.train(seed=kilobytes + 1)
            if job["state"] != "succeeded":
                said.append(f"the next ended with {job['error']}")
            full.add(f"{kilobytes} kB", said)
    full.require_none()


ENDED = ("succeeded", "failed", "cancelled")


def _trained(service: RunningService) -> dict[str, object] | None:
    answer = service.client.post("/train", json={"promote": "never"}, headers={"Prefer": "wait=60"})
    return answer.json() if answer.status_code == 200 else None


def test_a_folder_that_cannot_be_written_is_named(
    base: Path, tmp_path: Path, count: Callable[..., Count]
) -> None:
    barred = count("a data folder on a disk that cannot be written")
    data = lay_copy(base, tmp_path / "data")
    with read_only(data):
        with pytest.raises(OSError, match="Read-only file system") as refused:
            LocalArtifacts(settings_of(data).artifacts_dir).publish(NEW)
        barred.add("publish", [] if str(data) in str(refused.value) else [str(refused.value)])
        began = time.monotonic()
        with pytest.raises(AssertionError) as ended:
            RunningService(data, workers=1)
        message = str(ended.value)
        said = [] if "cannot start" in message and "Traceback" not in message else [message]
        if time.monotonic() - began > BUSY_SECONDS:
            said.append("waited for what waiting cannot mend")
        barred.add("start", said)
    barred.add("afterwards", complaints_about(data, [1]))
    barred.require_none(3)
